"""A Redis store's URL: `redis://user:password@host:6379/0?prefix=jobs`. Owns how it is read; opens nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from millrace.errors import ConfigurationError
from millrace.stores.redis.settings import FSYNC, PORT, Settings, Wait

__all__ = ["OPTIONS", "masked", "read_url"]

_SCHEMES = frozenset({"redis", "rediss", "valkey", "valkeys", "unix"})
_ENCRYPTED = frozenset({"rediss", "valkeys"})
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_USER = re.compile(r"[^@/]*@")  # the user and password: a ? may stand in it
_PASSWORD = re.compile(
    r"(?<=://)([^/@?:]*):.*@"
)  # written wrongly, it may have any sign in it; then too much is covered

_IN_QUERY = re.compile(r"(?i)([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*")


def _switch(text: str) -> bool:
    return _WORDS[text.lower()]


def _wait(text: str) -> Wait:
    return FSYNC if text.lower() == FSYNC else int(text)


def _by_queue(text: str) -> bool:
    return {"queue": True}[text.lower()]


def _any(text: str) -> bool:
    return {"any": True}[text.lower()]


def _verify(text: str) -> bool:
    return {"required": True, "none": False}[text.lower()]


# How the text of each option is read, and what to say it must be; which values will do is for `Settings` to say.
OPTIONS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "prefix": (str, "a name"),
    "wait": (_wait, "a number of replicas, or fsync"),
    "listen": (_switch, "on or off"),
    "allow_eviction": (_switch, "1 or 0"),
    "allow_server": (_any, "any"),
    "deadline": (float, "seconds"),
    "read_deadline": (float, "seconds"),
    "connect_deadline": (float, "seconds"),
    "shard": (_by_queue, "queue"),
    "db": (int, "a number"),
    "ssl_ca_certs": (str, "a file"),
    "ssl_certfile": (str, "a file"),
    "ssl_keyfile": (str, "a file"),
    "ssl_cert_reqs": (_verify, "required or none"),
}


def read_url(url: str) -> Settings:
    """Take a URL apart.

    Raises:
        ConfigurationError: It is no such URL, or has an option that is not known.

    >>> settings = read_url("rediss://ada:secret@db.example/2?prefix=shop&wait=1")
    >>> settings.host, settings.tls, settings.db, settings.prefix, settings.url
    ('db.example', True, 2, 'shop', 'rediss://ada:***@db.example/2?prefix=shop&wait=1')
    >>> read_url("unix:///run/redis.sock?db=1").path
    '/run/redis.sock'
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES or not separator:
        raise ConfigurationError(f"{masked(url)!r} names no Redis server; write redis://host:6379/0")
    user = _USER.match(rest)
    start = user.end() if user else 0
    place, _, query = rest[start:].partition("?")
    given = _options(url, query)
    given |= _account(rest[: max(start - 1, 0)])
    if "#" in place:
        raise ConfigurationError(f"{masked(url)!r} has a # in it; write it as %23")
    if scheme == "unix":
        given |= _socket(url, place)
    else:
        given |= _address(url, place, given)
    return Settings(url=masked(url), tls=scheme in _ENCRYPTED, **given)


def _options(url: str, query: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ConfigurationError(f"{masked(url)!r}: option {name!r} is not known; known are {', '.join(OPTIONS)}")
        key = "ssl_verify" if name == "ssl_cert_reqs" else name
        if key in given:
            raise ConfigurationError(f"{masked(url)!r}: option {name!r} is given twice; give it once")
        read, wanted = OPTIONS[name]
        try:
            given[key] = read(text)
        except (ValueError, KeyError):
            raise ConfigurationError(f"{masked(url)!r}: {name}={text!r} is not understood; give {wanted}") from None
    return given


def _account(text: str) -> dict[str, Any]:
    user, _, password = text.partition(":")
    return {"user": unquote(user) or None, "password": unquote(password) or None}


def _socket(url: str, place: str) -> dict[str, Any]:
    if not place.startswith("/"):
        raise ConfigurationError(f"{masked(url)!r} names no socket; write unix:///run/redis/redis.sock?db=0")
    return {"path": unquote(place)}


def _address(url: str, place: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if "db" in given:
        raise ConfigurationError(f"{masked(url)!r}: db= goes with unix://; else the database is the path, as in /2")
    netloc, _, path = place.partition("/")
    if "," in netloc:
        raise ConfigurationError(f"{masked(url)!r} names several hosts; name one, such as the endpoint of a failover")
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{masked(url)!r}: host and port are not understood; write host:6379") from None
    if path and not path.isdecimal():
        raise ConfigurationError(f"{masked(url)!r}: {path!r} is no number of a database; write redis://host:6379/0")
    return {
        "host": unquote(host) if host else "localhost",
        "port": PORT if port is None else port,
        "db": int(path or "0"),
    }


def masked(url: str) -> str:
    """Return a URL with its password covered, also where it stands in the query, in which we take none.

    >>> masked("redis://:secret@host/0?password=secret")
    'redis://:***@host/0?password=***'
    """
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
