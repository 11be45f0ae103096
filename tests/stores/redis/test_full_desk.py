"""A server that has no memory left takes no whole jobs; what is there may be changed, and goes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from millrace.conformance.bench import ANN, HOUR, Bench
from millrace.conformance.transferring import eventful, everything
from millrace.errors import StoreUnavailable
from millrace.messages import QueueSettings
from millrace.records import WorkerRow
from millrace.states import DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE, JobState
from millrace.stores.memory import MemoryStore
from millrace.stores.redis.checking import find_faults
from millrace.stores.redis.store import RedisStore
from millrace.testing.clock import ManualClock
from tests.servers.redisinstallations import RedisInstallation, redis_installations
from tests.servers.redisserver import RedisServer


class OpenStore(RedisStore):
    """A store whose keys may be proven."""

    def faults(self) -> list[str]:
        """Return what does not agree."""
        return find_faults(self._read)


@pytest.fixture(scope="module", params=redis_installations(), ids=lambda each: each.name)
def small_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of each kind whose memory may be taken away."""
    installation: RedisInstallation = request.param
    with RedisServer(installation) as server:
        yield server


@pytest.fixture
def bench(small_server: RedisServer) -> Iterator[Bench]:
    """A bench on it, empty; when the test is over there is memory again, and all its keys agree."""
    small_server.run("FLUSHALL")
    clock = ManualClock()
    with closing(OpenStore(small_server.url(listen="off"), clock=clock)) as store:
        store.migrate()
        try:
            yield Bench(store, clock)
            assert store.faults() == []
        finally:
            small_server.configure("maxmemory", "0")


def test_whole_jobs_are_refused_whole(bench: Bench, small_server: RedisServer) -> None:
    with closing(MemoryStore(clock=bench.clock)) as memory:
        other = Bench(memory, bench.clock)
        for state in JobState:
            other.bring(state, tags=("red",), unique_key=state.value)
        eventful(other)
        jobs = everything(other)
    assert isinstance(bench.store, RedisStore)
    small_server.configure("maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        bench.store.restore(jobs)
    small_server.configure("maxmemory", "0")
    assert sum(bench.store.counts().values()) == 0
    bench.store.restore(jobs)
    assert sum(bench.store.counts().values()) == len(jobs)


def test_what_is_there_may_be_changed_and_goes_away(bench: Bench, small_server: RedisServer) -> None:
    ids = {state: bench.bring(state, tags=("red",), unique_key=state.value) for state in JobState}
    small_server.configure("maxmemory", "1")
    (put_off,) = bench.store.reschedule([ids[JobState.PENDING]], RESCHEDULABLE, due=bench.now + HOUR)
    (again,) = bench.store.retry([ids[JobState.DEAD]], RETRYABLE)
    (gone,) = bench.store.delete([ids[JobState.FAILED]], DELETABLE)
    assert (put_off.changed, again.changed, gone.changed) == (True, True, True)
    assert bench.store.purge(bench.now + 1, FINAL) == 2


def test_workers_and_maintenance_may_begin_and_queues_be_paused(bench: Bench, small_server: RedisServer) -> None:
    bench.add()
    small_server.configure("maxmemory", "1")
    bench.store.register(WorkerRow(ANN, "host:1", 0, 0, b"{}"))
    assert bench.store.acquire("maintenance", ANN, HOUR)
    bench.store.set_queue("default", QueueSettings(priority=5, paused=True))
    assert [worker.id for worker in bench.store.workers()] == [ANN]
    assert [(queue.priority, queue.paused) for queue in bench.store.queues()] == [(5, True)]
