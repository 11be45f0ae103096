"""A PostgreSQL store's URL: `postgresql://user@host/database?schema=jobs`. Owns how it is read; opens nothing.

Our own options are taken out of the query; all else is libpq's, several hosts and `target_session_attrs` included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from millrace.errors import ConfigurationError
from millrace.stores.postgres.settings import Settings

__all__ = ["OPTIONS", "masked", "read_url"]

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_SECRETS = ("password", "passfile", "sslpassword", "oauth_client_secret")
_USER = re.compile(r"[^@/]*@")  # what libpq takes for the user and password: a ? may stand in it
_PASSWORD = re.compile(
    r"(?<=://)([^/@?:]*):.*@"
)  # written wrongly, it may have any sign in it; then too much is covered


def _switch(text: str) -> bool:
    return _WORDS[text.lower()]


def _by_itself(text: str) -> bool:
    return {"auto": True, "manual": False}[text.lower()]


# What of the query is ours, how its text is read, and what to say it must be; which values will do `Settings` says.
OPTIONS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "schema": (str, "a name"),
    "listen": (_switch, "on or off"),
    "notify": (_switch, "on or off"),
    "prepare": (_switch, "on or off"),
    "migrate": (_by_itself, "auto or manual"),
    "claim_commit": (_switch, "on or off"),
    "deadline": (float, "seconds"),
    "read_deadline": (float, "seconds"),
    "connect_deadline": (float, "seconds"),
}


def read_url(url: str) -> Settings:
    """Take a URL apart into what libpq is told and what is ours.

    Raises:
        ConfigurationError: It is no such URL, or has an option that is not known.

    >>> settings = read_url(
    ...     "postgresql://ada:secret@one,two/shop?schema=jobs&listen=off&target_session_attrs=read-write"
    ... )
    >>> settings.schema, settings.listen, settings.url
    ('jobs', False, 'postgresql://ada:***@one,two/shop?schema=jobs&listen=off&target_session_attrs=read-write')
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in {"postgres", "postgresql"}:
        raise ConfigurationError(f"{masked(url)!r} names no PostgreSQL server; write postgresql://user@host/database")
    user = _USER.match(rest)
    start = user.end() if user else 0
    head, _, query = rest[start:].partition("?")
    head = rest[:start] + head
    ours: dict[str, Any] = {}
    theirs: list[tuple[str, str]] = []
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            theirs.append((name, text))
            continue
        read, wanted = OPTIONS[name]
        if name in ours:
            raise ConfigurationError(f"{masked(url)!r}: option {name!r} is given twice; give it once")
        try:
            ours[name] = read(text)
        except (ValueError, KeyError):
            raise ConfigurationError(f"{masked(url)!r}: {name}={text!r} is not understood; give {wanted}") from None
    return Settings(conninfo=_conninfo(url, head, theirs), url=masked(url), **ours)


def _conninfo(url: str, head: str, query: list[tuple[str, str]]) -> str:
    for_libpq = f"postgresql://{head}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    try:
        parts = conninfo_to_dict(for_libpq)
    except psycopg.Error as error:
        said = str(error).strip().replace(for_libpq, masked(for_libpq))
        raise ConfigurationError(
            f"{masked(url)!r} is not understood: {said}; our own options are {', '.join(OPTIONS)}"
        ) from None
    parts.setdefault("application_name", "millrace")
    return make_conninfo("", **parts)


def masked(url: str) -> str:
    """Return a URL with its passwords covered.

    >>> masked("postgresql://ada:secret@host/shop?sslpassword=x")
    'postgresql://ada:***@host/shop?sslpassword=***'
    """
    head, mark, query = _PASSWORD.sub(r"\1:***@", url).partition("?")
    if not mark:
        return head
    pairs = (pair.partition("=") for pair in query.split("&"))
    return f"{head}?" + "&".join(
        f"{name}{equals}{'***' if name.lower() in _SECRETS else value}" for name, equals, value in pairs
    )
