"""`?wait=fsync` on servers that can tell of their disk: what is acknowledged is on it, what is not in time is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.ids import new_id
from millrace.messages import ClaimRequest, NewRow
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores import open_store
from tests.servers.redisinstallations import RedisInstallation, redis_installations
from tests.servers.redisserver import EVERY_SECOND, RedisServer

ANN = 7
TOLD = [each for each in redis_installations() if each.can_wait_for_the_disk]
NOT_TOLD = [each for each in redis_installations() if not each.can_wait_for_the_disk]


@pytest.fixture(scope="module", params=TOLD, ids=lambda each: each.name)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that flushes every second, and tells when it has."""
    with RedisServer(request.param, EVERY_SECOND) as started:
        yield started


@pytest.fixture
def lazy(server: RedisServer) -> Iterator[RedisServer]:
    """The server, for a while flushing never."""
    server.configure("appendfsync", "no")
    yield server
    server.configure("appendfsync", "everysec")


def row() -> NewRow:
    """Make a job to insert."""
    return NewRow(id=new_id(), task="work", queue="default", args=b"{}")


@pytest.mark.parametrize("flushes", ["everysec", "always"])
def test_what_is_acknowledged_is_there_after_a_kill(server: RedisServer, flushes: str) -> None:
    acknowledged: list[NewRow] = []
    for _ in range(3):
        server.configure("appendfsync", flushes)
        with closing(open_store(server.url(prefix=flushes, wait="fsync"))) as store:
            rows = [row() for _ in range(100)]
            assert store.insert(rows).existing == {}
            server.kill()
            acknowledged += rows
        server.start()
    with closing(open_store(server.url(prefix=flushes))) as store:
        assert store.counts()[JobState.PENDING] == len(acknowledged)


def test_what_is_not_flushed_in_time_is_told_and_again_it_counts_once(lazy: RedisServer) -> None:
    with closing(open_store(lazy.url(prefix="late", wait="fsync", deadline="1"))) as store:
        late = row()
        with pytest.raises(
            StoreUnavailable, match=r"wait=fsync was not met \(it was not flushed to the disk in time\)"
        ):
            store.insert([late])
        assert store.counts()[JobState.PENDING] == 1
    lazy.configure("appendfsync", "always")
    with closing(open_store(lazy.url(prefix="late", wait="fsync"))) as store:
        store.insert([late])
        assert store.counts()[JobState.PENDING] == 1


def test_a_worker_does_not_wait_for_the_disk(lazy: RedisServer) -> None:
    with closing(open_store(lazy.url(prefix="steps"))) as producer:
        producer.insert([row()])
    with closing(open_store(lazy.url(prefix="steps", wait="fsync", deadline="1"))) as store:
        (job,) = store.step(ANN, (), [ClaimRequest(1)]).claimed
        assert store.step(ANN, [Outcome.completed(job, None, retention=None)], ()).lost == frozenset()


def test_a_server_that_writes_no_file_is_refused(server: RedisServer) -> None:
    server.configure("appendonly", "no")
    try:
        with (
            closing(open_store(server.url(prefix="none", wait="fsync"))) as store,
            pytest.raises(ConfigurationError, match="set appendonly to yes"),
        ):
            store.insert([row()])
    finally:
        server.configure("appendonly", "yes")


@pytest.mark.parametrize("installation", NOT_TOLD[:1], ids=lambda each: each.name)
def test_an_older_server_is_refused(installation: RedisInstallation) -> None:
    with (
        RedisServer(installation) as server,
        closing(open_store(server.url(wait="fsync"))) as store,
        pytest.raises(ConfigurationError, match=r"needs 7\.2"),
    ):
        store.insert([row()])
