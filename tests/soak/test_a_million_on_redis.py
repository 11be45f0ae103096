"""A million jobs on Redis: the server's own log of slow commands has none that took longer than some milliseconds.

The log measures by the wall, so other programs of the machine are in it too: of each use of the store the round counts
in which its longest command, a script as a rule, was shortest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from millrace.conformance.bench import ANN, KEPT, Bench
from millrace.messages import ClaimRequest
from millrace.outcome import Outcome
from millrace.testing.clock import ManualClock
from tests.servers.redisclient import RedisClient
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import EVERY_SECOND, RedisServer
from tests.stores.redis import test_slow_desk as desk
from tests.stores.redis.verbs import test_slow_scripts as workers
from tests.stores.redis.verbs.conftest import OpenStore

pytestmark = pytest.mark.soak

JOBS, FINISHED = 1_000_000, 300_000
ROUNDS = 5
MOST = 10_000  # microseconds
ALL = {"slowlog-log-slower-than": "0", "slowlog-max-len": "100000"}  # each command is kept, however fast


class SlowLog(workers.Watch):
    """Keeps, by verb, the longest command of each use, in microseconds, as the server has logged it."""

    def __init__(self, client: RedisClient) -> None:
        super().__init__(client)
        self._server = client

    @contextmanager
    def over(self, verb: str, scripts: int) -> Generator[None]:  # noqa: ARG002 - it counts for the other watch
        """Watch one use."""
        self._server.run("SLOWLOG", "RESET")
        yield
        logged: list[Any] = self._server.run("SLOWLOG", "GET", ALL["slowlog-max-len"])
        took = [float(entry[2]) for entry in logged if entry[3][0].upper() != b"SLOWLOG"]
        self.took.setdefault(verb, []).append(max(took))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server that logs every command."""
    with RedisServer(newest_redis(), {**EVERY_SECOND, **ALL}) as started:
        yield started


def read(store: OpenStore, watch: SlowLog) -> None:
    """Read what the others do not."""
    with watch.over("counts", 1):
        store.counts()
    with watch.over("queues", 1):
        store.queues()
    with watch.over("doctor", 1):
        assert [each for each in store.check() if each.subject == "keys" and each.level != "ok"] == []


@pytest.mark.timeout(1800)
def test_no_command_takes_long_among_a_million_jobs(server: RedisServer) -> None:
    clock = ManualClock()
    with closing(OpenStore(server.url(), clock=clock)) as store, server.client() as client:
        bench = Bench(store, clock)
        workers.fill(bench, JOBS)
        for _ in range(FINISHED // 1000):
            rows = store.step(ANN, (), [ClaimRequest(1000)]).claimed
            store.step(ANN, [Outcome.completed(row, b'"result"', retention=KEPT) for row in rows], ())
        assert sum(store.counts().values()) == JOBS
        watch = SlowLog(client)
        for _ in range(ROUNDS):
            workers.work(bench, store, watch)
            desk.work(bench, store, watch)
            read(store, watch)
    for verb, took in sorted(watch.took.items(), key=lambda each: -min(each[1])):
        print(f"{verb:20} longest command {min(took) / 1000:6.2f} ms, in the worst round {max(took) / 1000:6.2f}")  # noqa: T201
    assert {verb: min(took) for verb, took in watch.took.items() if min(took) > MOST} == {}
