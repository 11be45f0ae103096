"""Owns who is compared on Redis, and at which settings. What a side does is in its driver."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import venvs
from bench.redisserver import redis_server
from bench.served import OnNode, Own, Served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Commands of which each counts some of the jobs that are not done for good.
Counting = tuple[tuple[str, ...], ...]

UNFINISHED_STATES = ("1", "2", "3")  # of ours: pending, running, cancelling
CONCURRENCIES = (10, 100)  # of ours: which of them is best is found by a short trial
PYTHON_JOBS = 10_000  # what the slowest peers drain in some seconds


def total(commands: Counting) -> Callable[[], int]:
    """Return a function that adds up what commands count."""
    return lambda: sum(int(redis_server().run(*command)) for command in commands)


def ours_unfinished() -> int:
    """Add up our own counts, which are exact."""
    return counted(lambda field: field.partition(b":")[0].decode() in UNFINISHED_STATES, "{millrace}:counts")


def tinyjobs_unfinished() -> int:
    """Add up the counts that tinyjobs keeps."""
    return counted(lambda field: field.rpartition(b"\t")[2] in {b"queued", b"running"}, "{tinyjobs}:counts")


def counted(wanted: Callable[[bytes], bool], key: str) -> int:
    """Add up the fields that are wanted of a hash of numbers."""
    told: dict[bytes, bytes] = redis_server().run("HGETALL", key)
    return sum(int(number) for field, number in told.items() if wanted(field))


@dataclass(frozen=True)
class RedisSide(Served):
    """A queue on a Redis server; `unfinished` counts the jobs that could run and are not done for good."""

    unfinished: Callable[[], int] = int


class OursOnRedis(Own, RedisSide):
    """Millrace."""


class NodeOnRedis(OnNode, RedisSide):
    """A queue on Node.js."""


def ours(handler: str = "sync") -> RedisSide:
    """Return Millrace with this kind of handler."""
    return OursOnRedis(
        f"millrace {handler}",
        Path(sys.executable),
        "bench.millrace_driver",
        handler=handler,
        concurrencies=CONCURRENCIES,
        unfinished=ours_unfinished,
    )


def bullmq() -> RedisSide:
    """Return bullmq, whose jobs are removed once they are done, as its users are advised."""
    held = total((("LLEN", "bull:bench:wait"), ("LLEN", "bull:bench:active")))
    return NodeOnRedis(
        "bullmq", venvs.node(), "bullmq_driver.cjs", handler="async", concurrencies=(50, 200, 500), unfinished=held
    )


def huey() -> RedisSide:
    """Return huey, which takes a job off its queue before it runs: so its count says only what has begun."""
    return python_side("huey", "redis_huey", "sync", (1, 2, 4), (("LLEN", "huey.redis.bench"),))


def dramatiq() -> RedisSide:
    """Return dramatiq with its default middleware."""
    return python_side("dramatiq", "dramatiq", "sync", (1, 8, 16), (("HLEN", "dramatiq:default.msgs"),))


def saq() -> RedisSide:
    """Return saq, which keeps what is done for ten minutes."""
    return python_side("saq", "saq", "async", (1, 10, 100), (("ZCARD", "saq:default:incomplete"),))


def arq() -> RedisSide:
    """Return arq, told to keep no results."""
    return python_side("arq", "arq", "async", (10, 100, 500), (("ZCARD", "arq:queue"),))


def tinyjobs() -> RedisSide:
    """Return tinyjobs."""
    return RedisSide(
        "tinyjobs",
        venvs.python_of("tinyjobs"),
        "bench.peers.tinyjobs_driver",
        handler="async",
        concurrencies=(8, 32, 128),
        unfinished=tinyjobs_unfinished,
        jobs=PYTHON_JOBS,
    )


def python_side(
    name: str, driver: str, handler: str, concurrencies: tuple[int, ...], unfinished: Counting
) -> RedisSide:
    """Return a peer in Python whose driver has this name."""
    return RedisSide(
        name,
        venvs.python_of(name),
        f"bench.peers.{driver}_driver",
        handler=handler,
        concurrencies=concurrencies,
        unfinished=total(unfinished),
        jobs=PYTHON_JOBS,
    )


PYTHON_PEERS: Sequence[Callable[[], RedisSide]] = (huey, dramatiq, saq, arq, tinyjobs)
