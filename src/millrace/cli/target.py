"""Which app a command works on. Owns how APP, --url and the two variables are read, and every refusal of them.

APP is one of the words of the command line and may be left out, so `told` splits them: by shape where the others are
ids or JSON, else by how many there are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from millrace.errors import ConfigurationError
from millrace.importing import import_failure

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["is_dotted", "is_id", "job_id", "load_app", "looks_like_app", "names_app", "opened", "split_words"]

APP_VARIABLE = "MILLRACE_APP"
URL_VARIABLE = "MILLRACE_URL"


def job_id(word: str) -> str:
    """Check a job's id.

    Raises:
        click.UsageError: It is none.

    >>> job_id("01a20f03-ba98-71c8-bf2d-fe9bd6462754")
    '01a20f03-ba98-71c8-bf2d-fe9bd6462754'
    """
    if not is_id(word):
        raise click.UsageError(f"{word!r} is not a job's id; millrace jobs shows them")
    return word


def is_id(word: str) -> bool:
    """Tell whether a word is a UUID.

    >>> is_id("tasks:app")
    False
    """
    try:
        UUID(word)
    except ValueError:
        return False
    return True


def split_words(
    words: tuple[str, ...], url: str | None, *, least: int, most: int
) -> tuple[str | None, tuple[str, ...]]:
    """Split the words of a command that takes `least` to `most` of them into APP, or None, and the others.

    It begins with APP where there is one word more than `most`, or the first is written as `module:attribute`.

    Raises:
        click.UsageError: There are too few or too many.

    >>> split_words(("tasks:app", "mail"), None, least=1, most=1)
    ('tasks:app', ('mail',))
    >>> split_words(("mail",), None, least=1, most=1)
    (None, ('mail',))
    """
    named = bool(words) and url is None and (len(words) > most or looks_like_app(words[0]))
    where, others = (words[0], words[1:]) if named else (None, words)
    if len(others) > most:
        both = url is not None and looks_like_app(others[0])
        raise click.UsageError(
            f"APP {others[0]!r} and --url exclude each other" if both else f"{others[most]!r} is one word too many"
        )
    if len(others) < least:
        raise click.UsageError(f"nothing follows APP {where!r}" if named else "too few words")
    return where, others


def looks_like_app(word: str) -> bool:
    """Tell whether a word is written as `module:attribute`.

    >>> looks_like_app("tasks:app"), looks_like_app("sqlite:///jobs.db")
    (True, False)
    """
    module, colon, attribute = word.partition(":")
    return bool(colon) and is_dotted(module) and is_dotted(attribute)


def is_dotted(text: str) -> bool:
    """Tell whether a text is a dotted name, as modules have.

    >>> is_dotted("tasks.app"), is_dotted("12")
    (True, False)
    """
    return all(part.isidentifier() for part in text.split("."))


@contextmanager
def opened(where: str | None, url: str | None) -> Generator[Millrace, None, None]:
    """Give the app that APP, --url or a variable names, its tasks loaded, and close it at the end.

    Raises:
        ConfigurationError: None of them is given, or what it names is not there.
    """
    with _chosen(where, url) as app:
        yield app


def names_app(where: str | None, url: str | None) -> bool:
    """Tell whether `opened` gives an app of the user's, with its tasks, and not one made of a URL alone.

    >>> names_app("tasks:app", None), names_app(None, "sqlite:///jobs.db")
    (True, False)
    """
    return where is not None or (url is None and bool(os.environ.get(APP_VARIABLE)))


def _chosen(where: str | None, url: str | None) -> Millrace:
    if where is not None:
        return load_app(where)
    if url is not None:
        return _bare(url)
    if named := os.environ.get(APP_VARIABLE):
        return load_app(named)
    if stored := os.environ.get(URL_VARIABLE):
        return _bare(stored)
    raise ConfigurationError(
        "no app is named: give APP as module:attribute, or --url sqlite:///jobs.db, or set MILLRACE_APP or MILLRACE_URL"
    )


def _bare(url: str) -> Millrace:
    """Make an app without tasks: enough to look at jobs and to change them."""
    from millrace import Millrace

    return Millrace(url)


def load_app(where: str) -> Millrace:
    """Load the app that `module:attribute` or `module.attribute` names, and the modules that it imports.

    Raises:
        ConfigurationError: There is no such module or attribute, the module cannot be imported, or it is no app.
    """
    from millrace import Millrace

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    name, attribute = _parted(where)
    module = _imported(name, where)
    app: Any = module
    for part in attribute.split("."):
        app = getattr(app, part, None)
    if not isinstance(app, Millrace):
        found = f"{attribute!r} in {name} is {_what(app)}, not a Millrace app" if app is not None else (
            f"module {name} has no {attribute!r}" if attribute else f"{where!r} names a module, not an app in it"
        )  # fmt: skip
        raise ConfigurationError(f"{found}{_suggestion(module, Millrace)}")
    app.load()
    return app


def _parted(where: str) -> tuple[str, str]:
    """Part an APP into module and attribute; without a colon the longest module that is there comes first."""
    name, colon, attribute = where.partition(":")
    if colon and is_dotted(name) and is_dotted(attribute):
        return name, attribute
    if colon or not is_dotted(where):
        raise ConfigurationError(f"{where!r} is not an APP; write module:attribute, such as tasks:app")
    module, _, last = where.rpartition(".")
    return (module, last) if module and not _is_module(where) else (where, "")


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False  # its parent is no package, or cannot be imported: importing it will tell


def _imported(name: str, where: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"no module named {error.name!r} for APP {where!r}; looked in the working directory and on sys.path"
            ) from error
        raise _broken(name, error) from error
    except Exception as error:  # importing runs the user's code
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"module {name} cannot be imported: {import_failure(error)}")


def _what(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def _suggestion(module: ModuleType, kind: type[object]) -> str:
    apps = [f"{module.__name__}:{name}" for name, value in vars(module).items() if isinstance(value, kind)]
    return f"; did you mean {apps[0]}?" if apps else "; make one with app = Millrace(…)"
