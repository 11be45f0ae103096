"""What `doctor` tells of a Redis server. Looks, and changes nothing; what this user may not see is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from millrace.clock import SECOND
from millrace.messages import Finding
from millrace.stores.redis.checking import find_some_faults
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.looks import Look
from millrace.stores.redis.server import OLDEST, Server, greet
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.wire import Connection, Refused

__all__ = ["find_disagreement", "find_trouble"]

_APART = 1.0  # seconds between our clock and the server's before it is worth a word
_FULL = 0.8  # of its memory, likewise
_FRAGMENTED = 1.5  # memory taken to memory used
_MUCH = 64 << 20  # bytes: with less in use, what is taken says nothing
_MEGABYTE = 1 << 20
_LONG = 200  # characters of a sentence that has a name in it


def find_trouble(settings: Settings, keys: Keyspace, connection: Connection) -> list[Finding]:
    """Look at the server, its settings, its memory and those that follow it."""
    server = greet(connection, settings, "millrace reads")
    facts = server.facts
    return [
        *_version(server),
        *_role(server),
        *_durability(server, settings),
        *_eviction(server, settings),
        *_memory(facts),
        *_clients(facts),
        *_listener(keys, connection),
        *_clock(connection),
    ]


def find_disagreement(look: Look) -> Finding:
    """Look whether our keys agree with each other: all counts, and of the jobs a sample."""
    faults, looked, jobs = find_some_faults(look)
    if not faults:
        return Finding("ok", "keys", f"all counts are right, and the keys of {looked:,} jobs of {jobs:,} agree")
    others = f", and {len(faults) - 1} more such things" if faults[1:] else ""
    return Finding(
        "error",
        "keys",
        f"our keys do not agree: {_cut(faults[0])}{others}; has anything but Millrace changed or lost some? Restore a "
        "backup, or bring the jobs to another ?prefix= by `millrace copy`",
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _version(server: Server) -> Iterator[Finding]:
    if server.version and server.version < OLDEST:
        yield Finding("error", "version", f"{server.shown} is too old; Millrace needs Redis 6.2 or newer, or Valkey")
    elif not server.version:
        yield Finding("note", "version", "the server does not tell its version; Redis 6.2 or newer is needed")
    else:
        yield Finding("ok", "version", server.shown)


def _role(server: Server) -> Iterator[Finding]:
    if server.replica:
        yield Finding("error", "role", "the server is a replica and takes no writes; name the primary")
        return
    replicas = int(server.facts.get("connected_slaves", "0"))
    if replicas:
        yield Finding(
            "note",
            "replicas",
            f"{replicas} follow, asynchronously: a failover to one may lose the last jobs acknowledged, but for what "
            "?wait= has waited for",
        )


def _durability(server: Server, settings: Settings) -> Iterator[Finding]:
    if server.appends is None:
        yield Finding("note", "durability", "this user may not see whether the server writes an append-only file")
    elif not server.appends:
        yield Finding(
            "error",
            "durability",
            "no append-only file is written: when the server crashes, jobs that were acknowledged are lost; set "
            "appendonly to yes",
        )
    elif server.facts.get("aof_last_write_status", "ok") != "ok":
        yield Finding("error", "durability", "the append-only file cannot be written; look at the server's disk")
    else:
        told = f", and ?wait={settings.wait} is waited for" if settings.wait else ""
        yield Finding("ok", "durability", f"an append-only file is written{told}")
    if server.facts.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding("warning", "snapshots", "the last snapshot failed; look at the server's disk and memory")


def _eviction(server: Server, settings: Settings) -> Iterator[Finding]:
    if server.policy is None:
        yield Finding("note", "eviction", "this user may not see what the server does when its memory is full")
    elif server.policy == "noeviction":
        yield Finding("ok", "eviction", "nothing is dropped when memory is full")
    else:
        allowed = ", as ?allow_eviction=1 allows" if settings.allow_eviction else "; set it to noeviction"
        yield Finding(
            "error", "eviction", f"maxmemory-policy is {server.policy}: keys are dropped when memory is full{allowed}"
        )


def _memory(facts: Mapping[str, str]) -> Iterator[Finding]:
    if "used_memory" not in facts:
        return
    used, limit = int(facts["used_memory"]), int(facts.get("maxmemory", "0"))
    shown = f"{used / _MEGABYTE:.0f} MB of memory are used"
    if not limit:
        yield Finding("note", "memory", f"{shown}, without a limit; set maxmemory below what the machine has")
    elif used > limit * _FULL:
        yield Finding(
            "warning",
            "memory",
            f"{shown} of {limit / _MEGABYTE:.0f}; when it is full, nothing is enqueued any more. Raise maxmemory, or "
            "shorten retention",
        )
    else:
        yield Finding("ok", "memory", f"{shown} of {limit / _MEGABYTE:.0f}")
    taken = int(facts.get("used_memory_rss", "0"))
    if used > _MUCH and taken > used * _FRAGMENTED:
        yield Finding("note", "fragmentation", f"the server takes {taken / used:.1f} times the memory that it uses")


def _clients(facts: Mapping[str, str]) -> Iterator[Finding]:
    if facts.get("loading") == "1":
        yield Finding("warning", "loading", "the server is reading its data and answers nothing else until then")


def _listener(keys: Keyspace, connection: Connection) -> Iterator[Finding]:
    (heard,) = connection.replies([("PUBSUB", "NUMSUB", keys.wake)])
    if type(heard) is Refused:
        yield Finding("note", "hints", "this user may not see who listens for jobs")
    else:
        yield Finding("ok", "hints", f"processes that listen: {heard[1]}")


def _clock(connection: Connection) -> Iterator[Finding]:
    before = time.time()
    seconds, micros = connection.command("TIME")
    at = int(seconds) + int(micros) / SECOND
    apart = at - (before + time.time()) / 2
    level = "note" if abs(apart) > _APART else "ok"
    yield Finding(
        level, "clock", f"the server's clock and this host's are {abs(apart):.1f} s apart; the server's is used"
    )
