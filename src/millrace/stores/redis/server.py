"""What a server is, as it tells at the beginning of a connection, and whether it will do. Owns the least we need."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.session import Argument
from millrace.stores.redis.settings import FSYNC, Settings
from millrace.stores.redis.wire import Connection, Refused

__all__ = ["OLDEST", "Server", "greet", "require", "require_channels", "warn"]

_log = logging.getLogger("millrace.redis")

OLDEST = (6, 2)  #: before it, sets cannot be read backwards by name
_WITH_WAITAOF = (7, 2)
_OURS = frozenset({"redis", "valkey"})
_SECTIONS = ("server", "memory", "persistence", "replication")
# Servers that say they are Redis: a line of INFO that only they have.
_BETRAYED_BY = {"dragonfly_version": "Dragonfly", "garnet_version": "Garnet", "mvcc_depth": "KeyDB"}
_NAMES = {"redis": "Redis", "valkey": "Valkey"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a server tells of itself.

    Attributes:
        name: Such as `Redis`; empty where it does not say.
        version: Such as `(7, 0, 15)`; empty where it does not say.
        replica: Whether it follows another one, and takes no writes.
        clustered: Whether it is a node of a cluster.
        facts: The lines of its INFO; empty where we may not see it.
        policy: What it does when its memory is full; None where it does not say.
    """

    name: str
    version: tuple[int, ...]
    replica: bool = False
    clustered: bool = False
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    policy: str | None = None

    @property
    def shown(self) -> str:
        """Its name and version, for people."""
        return f"{self.name} {'.'.join(map(str, self.version))}".strip() or "a server that does not tell its version"

    @property
    def appends(self) -> bool | None:
        """Whether it writes a file of what was changed (AOF); None where it does not say."""
        told = self.facts.get("aof_enabled")
        return None if told is None else told == "1"


def greet(connection: Connection, settings: Settings, name: str) -> Server:
    """Say who we are, choose the database, and ask what the server is: one trip, as a rule.

    Raises:
        Refused: It does not take us.
        Lost: The connection is gone.
    """
    first: list[tuple[Argument, ...]] = []
    user, password = (settings.user, settings.password) if settings.account is None else settings.account()
    if password is not None or user is not None:
        first.append(("AUTH", *(() if user is None else (user,)), password or ""))
    if settings.db:
        first.append(("SELECT", settings.db))
    rest = [("CLIENT", "SETNAME", name.replace(" ", "-")), ("HELLO",)]
    rest += [("INFO", section) for section in _SECTIONS]
    answers = connection.replies([*first, *rest])
    for answer in answers[: len(first)]:
        if type(answer) is Refused:
            raise answer
    _, hello, *sections = answers[len(first) :]
    if type(hello) is Refused and hello.code == "NOAUTH":
        raise hello
    facts: dict[str, str] = {}
    for section in sections:
        if type(section) is not Refused:
            facts |= _read_info(section)
    return _told(hello, facts, facts.get("maxmemory_policy") or _configured(connection))


def _configured(connection: Connection) -> str | None:
    """Ask for the policy in another way; some let their users see one thing, and some the other."""
    (told,) = connection.replies([("CONFIG", "GET", "maxmemory-policy")])
    return None if type(told) is Refused or not told else _text(told[1])


def _told(hello: Any, facts: Mapping[str, str], policy: str | None) -> Server:
    said: dict[bytes, Any] = {}
    if type(hello) is not Refused:
        said = dict(zip(hello[::2], hello[1::2], strict=True))
    name = _text(said.get(b"server")) or facts.get("server_name", "")
    name = next((other for line, other in _BETRAYED_BY.items() if line in facts), _NAMES.get(name, name))
    version = _text(said.get(b"version")) or facts.get("valkey_version") or facts.get("redis_version", "")
    role = _text(said.get(b"role")) or facts.get("role", "")
    mode = _text(said.get(b"mode")) or facts.get("redis_mode", "")
    return Server(
        name=name,
        version=tuple(int(part) for part in version.split(".") if part.isdecimal()),
        replica=role in {"slave", "replica"},
        clustered=mode == "cluster",
        facts=facts,
        policy=policy,
    )


def _read_info(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: told for name, _, told in lines}


def _text(told: Any) -> str:
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else ""


def require(server: Server, settings: Settings) -> None:
    """See that a server will do.

    Raises:
        ConfigurationError: It is too old, another one, or drops keys when its memory is full.
        StoreUnavailable: It is a replica.
    """
    if server.name and server.name.lower() not in _OURS and not settings.allow_server:
        raise ConfigurationError(
            f"{settings.url} is {server.shown}, on which nothing was tried; use Redis or Valkey, or add "
            "?allow_server=any at your own risk"
        )
    if server.version and server.version < OLDEST:
        raise ConfigurationError(f"{settings.url} is {server.shown}, which is too old; Redis 6.2 or newer is needed")
    if server.replica:
        raise StoreUnavailable(
            f"{settings.url} is a replica and takes no writes; name the primary, or an endpoint that follows it"
        )
    if server.policy not in {None, "noeviction"} and not settings.allow_eviction:
        raise ConfigurationError(
            f"{settings.url} drops keys when its memory is full (maxmemory-policy is {server.policy}), and with them "
            "jobs; set it to noeviction, or add ?allow_eviction=1 where losing jobs is acceptable"
        )
    if settings.wait == FSYNC:
        _require_waitaof(server, settings)


def _require_waitaof(server: Server, settings: Settings) -> None:
    if server.version and server.version < _WITH_WAITAOF:
        raise ConfigurationError(
            f"{settings.url} is {server.shown}, which cannot tell when it has flushed (?wait=fsync needs 7.2); leave "
            "it out, and set appendfsync to always"
        )
    if server.appends is False:
        raise ConfigurationError(
            f"{settings.url} writes no append-only file, so ?wait=fsync would wait for ever; set appendonly to yes"
        )


def require_channels(connection: Connection, keys: Keyspace, settings: Settings) -> None:
    """See that the scripts may publish: one that may not would fail when all is written.

    Raises:
        ConfigurationError: This user may not.
    """
    (answer,) = connection.replies([("PUBLISH", keys.key("none"), "")])
    if type(answer) is Refused and answer.code == "NOPERM":
        raise ConfigurationError(
            f"{settings.url} does not let this user publish ({answer.said}); grant it +publish and "
            f"&{keys.key('*').decode()}"
        )


def warn(server: Server, settings: Settings) -> None:
    """Log what will do, and had better be otherwise."""
    if server.appends is False:
        _log.warning(
            "%s writes no append-only file: when it crashes, jobs that were acknowledged are lost; set appendonly to "
            "yes",
            settings.url,
        )
