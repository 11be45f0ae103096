"""An SQLite store's URL: `sqlite:///relative.db?synchronous=normal`. Owns how it is read; opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from millrace.errors import ConfigurationError

__all__ = ["read_url"]

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _switch(text: str) -> bool:
    return _WORDS[text.lower()]


# What may stand in the query, and how its text is read; what the values may be is for `Settings` to say.
OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "synchronous": str.lower,  # SQLite's own word for it is written in any case
    "prefix": str,
    "deadline": float,
    "reserve": _switch,
    "network": str,
    "driver": str,
}


def read_url(url: str) -> tuple[str, dict[str, Any]]:
    """Take a URL apart into the path and the options of `Database`.

    Three slashes stand before a relative path, four before an absolute one.

    Raises:
        ConfigurationError: It is no such URL, or has an option that is not known.

    >>> read_url("sqlite:///jobs.db?synchronous=normal&reserve=0")
    ('jobs.db', {'synchronous': 'normal', 'reserve': False})
    >>> read_url("sqlite:////var/lib/jobs.db")
    ('/var/lib/jobs.db', {})
    """
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "sqlite" or parts.netloc or parts.fragment or not path:
        raise ConfigurationError(
            f"{url!r} names no SQLite file; write sqlite:///relative/path.db or sqlite:////absolute/path.db (and "
            "%23 for a # in it)"
        )
    options: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        read = OPTIONS.get(name)
        if read is None:
            raise ConfigurationError(f"{url!r}: option {name!r} is not known; there are {', '.join(OPTIONS)}")
        if name in options:
            raise ConfigurationError(f"{url!r}: option {name!r} is given twice; give it once")
        try:
            options[name] = read(text)
        except (ValueError, KeyError):
            wanted = "seconds" if name == "deadline" else "1 or 0"
            raise ConfigurationError(f"{url!r}: {name}={text!r} is not understood; give {wanted}") from None
    return path, options
