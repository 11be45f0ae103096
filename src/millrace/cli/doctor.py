"""`millrace doctor`: what runs here, and the trouble that the store finds. Owns the report; looking is the store's."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from textwrap import wrap

import msgspec

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import flat, in_colour, say, say_json, width
from millrace.cli.target import opened, split_words
from millrace.messages import Finding

__all__ = ["doctor", "findings_lines", "versions"]

_PACKAGES = ("millrace", "msgspec", "cronsim", "click", "apsw", "psycopg", "hiredis", "watchfiles", "rich")
_LEVELS = ("error", "warning", "note", "ok")
_LEVEL = max(map(len, _LEVELS))


@command(
    "doctor",
    examples="""\
millrace doctor tasks:app
millrace doctor --url sqlite:///jobs.db --json""",
)
@words("[APP]")
@url_option
@json_option
def doctor(words: tuple[str, ...], url: str | None, *, as_json: bool) -> int:
    """Look for trouble in the store and its surroundings; exit 1 where something is wrong.

    A note is worth knowing, a warning worth doing something about, an error must be mended.
    """
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        found = app.store.check()
        bad = any(each.level == "error" for each in found)
        if as_json:
            findings = [msgspec.to_builtins(each) for each in found]
            say_json({"store": app.store.url, "versions": versions(), "findings": findings, "healthy": not bad})
        else:
            say(", ".join(f"{name} {number}" for name, number in versions().items()))
            say(f"store {app.store.url}, {len(app.registry)} tasks known here")
            for line in findings_lines(found, width()):
                say(line)
        return int(bad)


def versions() -> dict[str, str]:
    """Give the versions of Python and of those of our packages that are installed.

    >>> versions()["python"] == platform.python_version()
    True
    """
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def findings_lines(found: list[Finding], room: int | None) -> Iterator[str]:
    """Lay out findings, the worst first, each wrapped under its own beginning where a terminal is too narrow.

    >>> list(findings_lines([Finding("note", "disk", "enough room")], None))
    ['note     disk  enough room']
    """
    subject = max((len(each.subject) for each in found), default=0)
    margin = _LEVEL + subject + 4
    for each in sorted(found, key=lambda each: _LEVELS.index(each.level) if each.level in _LEVELS else 0):
        text = flat(each.text)
        lines = [text] if room is None else wrap(text, max(room - margin, 20), break_on_hyphens=False)
        level = in_colour(f"{each.level:<{_LEVEL}}")
        yield f"{level}  {each.subject:<{subject}}  {lines[0]}"
        yield from (" " * margin + line for line in lines[1:])
