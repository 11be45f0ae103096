"""A server that has no memory left takes no new jobs, and lets those there are come to their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ENDINGS, HOUR, KEPT, Bench
from millrace.errors import StoreUnavailable
from millrace.job import Progress
from millrace.messages import Beat
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, JobState
from millrace.testing.clock import ManualClock
from tests.servers.redisinstallations import RedisInstallation, redis_installations
from tests.servers.redisserver import RedisServer
from tests.stores.redis.verbs.conftest import OpenStore


@pytest.fixture(scope="module", params=redis_installations(), ids=lambda each: each.name)
def small_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of each kind whose memory may be taken away."""
    installation: RedisInstallation = request.param
    with RedisServer(installation) as server:
        yield server


@pytest.fixture
def store(small_server: RedisServer, clock: ManualClock) -> Iterator[OpenStore]:
    """A store on it, empty; when the test is over there is memory again, and all its keys agree."""
    small_server.run("FLUSHALL")
    opened = OpenStore(small_server.url(), clock=clock)
    opened.migrate()
    try:
        yield opened
        assert opened.faults() == []
    finally:
        small_server.configure("maxmemory", "0")
        opened.close()


def fill(server: RedisServer) -> None:
    server.configure("maxmemory", "1")


@pytest.mark.parametrize("key", [None, "k"])
def test_an_insert_is_refused_whole(bench: Bench, small_server: RedisServer, key: str | None) -> None:
    bench.add()
    fill(small_server)
    with pytest.raises(StoreUnavailable):
        bench.store.insert([bench.row(unique_key=key, tags=("t",)), bench.row(delay=HOUR), bench.row()])
    small_server.configure("maxmemory", "0")
    assert sum(bench.store.counts().values()) == 1
    bench.add(unique_key=key)


def test_what_is_there_is_claimed_and_ended_in_every_way(bench: Bench, small_server: RedisServer) -> None:
    bench.add_some(20)
    fill(small_server)
    rows = bench.claim()
    for ending, row in zip(ENDINGS, rows, strict=False):
        assert bench.end(ending, row).lost == frozenset()
    last = rows[len(ENDINGS)]
    assert bench.finish(ANN, Outcome.completed(last, b"1", retention=0)).lost == frozenset()
    assert len(rows) == 20


def test_leases_are_extended_and_taken_back(bench: Bench, small_server: RedisServer) -> None:
    bench.add_some(2)
    fill(small_server)
    first, second = bench.claim()
    beats = [Beat(0, row.id, row.claim, 90 * SECOND, Progress(0.5), b"1") for row in (first, second)]
    assert bench.store.extend(ANN, beats) == [JobState.RUNNING] * 2
    assert len(bench.lose(bench.job(first.id), bench.job(second.id))) == 2


def test_due_jobs_are_promoted(bench: Bench, small_server: RedisServer) -> None:
    bench.add_some(150, delay=SECOND)
    bench.later(2)
    fill(small_server)
    assert (bench.store.promote(limit=40), len(bench.claim())) == (40, 150)


def test_jobs_are_cancelled_and_go_away(bench: Bench, small_server: RedisServer) -> None:
    ids = bench.add_some(3)
    fill(small_server)
    assert all(each.changed for each in bench.store.cancel(ids, CANCELLABLE, retention=KEPT))
    bench.later(KEPT / SECOND + 1)
    assert bench.store.expire() == 3
