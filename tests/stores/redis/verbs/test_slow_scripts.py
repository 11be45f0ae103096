"""No verb holds up the server: with 200,000 jobs in it none of its scripts takes longer than 10 ms."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ERROR, HOUR, KEPT, LEASE, Bench
from millrace.job import Progress
from millrace.messages import Beat, ClaimRequest
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import CANCELLABLE
from millrace.stores.redis.strays import give_back
from millrace.testing.clock import ManualClock
from tests.servers.redisclient import RedisClient
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import RedisServer
from tests.stores.redis.verbs.conftest import OpenStore

MOST = 10_000  # microseconds
JOBS = 200_000
ROUNDS = 7  # other programs take their turns on the machine: of each verb the round counts in which it was fastest
NUMBERS = count()


@pytest.fixture(scope="module")
def busy_server() -> Iterator[RedisServer]:
    """A server that does nothing else."""
    with RedisServer(newest_redis(), {"appendonly": "no"}) as server:
        yield server


@pytest.fixture
def store(busy_server: RedisServer, clock: ManualClock) -> Iterator[OpenStore]:
    """A store on it."""
    opened = OpenStore(busy_server.url(), clock=clock)
    opened.migrate()
    yield opened
    opened.close()


def fill(bench: Bench, number: int) -> None:
    """Insert jobs as they come in life: of many tasks and queues, some later, some with tags and keys."""
    for first in range(0, number, 1000):
        rows = [
            bench.row(
                queue=f"queue {n % 3}",
                task=f"task {n % 11}",
                args=b'{"number":%d,"text":"%s"}' % (n, b"x" * 80),
                priority=n % 5,
                delay=HOUR if n % 4 == 0 else 0,
                tags=("even", "odd")[n % 2 :] if n % 10 == 0 else (),
                unique_key=f"key {next(NUMBERS)}" if n % 10 == 1 else None,
            )
            for n in range(first, first + 1000)
        ]
        bench.store.insert(rows)


class Watch:
    """Keeps, by verb, how long a script of it has kept the server's processor, in microseconds.

    Time by the wall would count the other programs of the machine too.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.took: dict[str, list[float]] = {}

    @contextmanager
    def over(self, verb: str, scripts: int) -> Generator[None]:
        """Watch one use, which is made of so many scripts alike."""
        before = self._used()
        yield
        self.took.setdefault(verb, []).append((self._used() - before) / scripts)

    def _used(self) -> float:
        told: dict[str, float] = self._client.run("INFO", "cpu")
        return (told["used_cpu_user"] + told["used_cpu_sys"]) * SECOND


def work(bench: Bench, store: OpenStore, watch: Watch) -> None:
    """Use every verb once, with as many jobs as a script may have, or more."""
    step = store.step
    with watch.over("insert", 2):
        fill(bench, 1000)
    with watch.over("insert plain ones", 1):
        bench.add_some(1000, delay=2 * HOUR)
    with watch.over("claim", 2):
        rows = step(ANN, (), [ClaimRequest(1000, lease=LEASE)]).claimed
    with watch.over("extend", 2):
        store.extend(ANN, [Beat(0, row.id, row.claim, LEASE, Progress(0.5), b"1") for row in rows])
    with watch.over("log", 2):
        store.log(ANN, [LogRow(0, row.id, row.claim, 0, 20, "a line") for row in rows])
    with watch.over("succeed", 2):
        step(ANN, [Outcome.completed(row, b'"result"', retention=KEPT) for row in rows[:1000]], ())
    rows = step(ANN, (), [ClaimRequest(500, lease=LEASE)]).claimed
    with watch.over("fail", 2):
        step(ANN, [Outcome.failed(row, ERROR, delay=HOUR, retention=KEPT) for row in rows], ())
    rows = step(ANN, (), [ClaimRequest(1000, lease=LEASE)]).claimed
    with watch.over("succeed and go", 2):
        step(ANN, [Outcome.completed(row, None, retention=0) for row in rows[:500]], ())
    store.cancel([row.id for row in rows[600:]], CANCELLABLE, retention=KEPT)
    with watch.over("hear of cancels", 1):
        store.cancelling(ANN)
    with watch.over("give back", 1):
        store.run(lambda session: give_back(session, ANN, [row.id for row in rows[500:]]))
    bench.later(LEASE / SECOND + 1)
    with watch.over("rescue", 2):
        bench.rescue(limit=500)
    bench.later(HOUR / SECOND)
    with watch.over("promote", 1):
        store.promote(limit=500)


@pytest.mark.timeout(180)
def test_no_script_takes_long_however_many_jobs_there_are(
    bench: Bench, store: OpenStore, busy_server: RedisServer
) -> None:
    fill(bench, JOBS)
    with busy_server.client() as client:
        watch = Watch(client)
        for _ in range(ROUNDS):
            work(bench, store, watch)
    fastest = {verb: min(times) for verb, times in watch.took.items()}
    assert {verb: took for verb, took in fastest.items() if took > MOST} == {}
