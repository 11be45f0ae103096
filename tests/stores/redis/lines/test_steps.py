"""A worker's step whose reply was lost: its claims are given back before the next, its outcomes known for its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from millrace.conformance.bench import Bench
from millrace.errors import StoreUnavailable
from millrace.messages import ClaimRequest
from millrace.outcome import Outcome
from millrace.records import WorkerRow
from millrace.states import JobState
from millrace.stores import held as holding
from millrace.stores.redis import RedisStore
from millrace.testing.clock import ManualClock
from tests.servers.proxy import Proxy
from tests.servers.redisserver import RedisServer
from tests.stores.redis.lines.conftest import until

WORKER = 7
CLAIM = [ClaimRequest(10)]


class Open(RedisStore):
    """A store that shows what it takes its worker to hold."""

    def ids_held(self) -> list[bytes]:
        """Return the ids of the jobs."""
        hold, ids = self._home.held.of(WORKER), list[bytes]()
        assert hold is not None

        def note(asked: Sequence[bytes]) -> Sequence[bytes]:
            ids.extend(asked)
            return asked

        hold.sift(note)
        return sorted(ids)


@pytest.fixture
def bench(redis_server: RedisServer) -> Iterator[Bench]:
    """A store, to look at what another one has done."""
    redis_server.run("FLUSHALL")
    clock = ManualClock()
    store = RedisStore(redis_server.url(), clock=clock)
    yield Bench(store, clock)
    store.close()


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """The way of a worker's store to its server."""
    with Proxy(redis_server.port) as started:
        yield started


@pytest.fixture
def soon_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of three jobs is a large one."""
    monkeypatch.setattr(holding, "ENOUGH", 3)


@pytest.fixture
def worker(redis_server: RedisServer, proxy: Proxy, bench: Bench) -> Iterator[Open]:
    """A registered worker's store, its connections open and its scripts known to the server."""
    store = Open(redis_server.url(port=proxy.port), clock=bench.clock)
    store.register(WorkerRow(WORKER, "w", 0, 0, b"{}"))
    bench.add()
    (claimed,) = store.step(WORKER, (), CLAIM).claimed
    store.step(WORKER, [Outcome.completed(claimed, None, retention=None)], ())
    for _ in range(4):  # as they take turns
        store.pause("open", paused=False)
    yield store
    store.close()


def test_jobs_whose_claim_was_lost_are_given_back_and_what_is_held_is_kept(
    worker: RedisStore, proxy: Proxy, bench: Bench
) -> None:
    held = bench.add()
    assert [each.id for each in worker.step(WORKER, (), CLAIM).claimed] == [held]
    lost = bench.add_some(3)
    other = bench.add(queue="other")
    assert bench.take(5, queues=("other",)).id == other
    proxy.turn("cutting")
    with pytest.raises(StoreUnavailable, match="unknown"):
        worker.step(WORKER, (), CLAIM)
    proxy.turn("well")
    until(lambda: bench.states(lost) == [JobState.RUNNING] * 3)

    answer = worker.step(WORKER, (), CLAIM)

    assert sorted(each.id for each in answer.claimed) == sorted(lost)
    assert {(each.attempt, each.claim) for each in answer.claimed} == {(1, 2)}
    assert bench.job(held).claim == 1
    assert bench.job(other).worker == 5


def test_an_outcome_whose_reply_was_lost_is_sent_again_and_is_not_taken_for_lost(
    worker: RedisStore, proxy: Proxy, bench: Bench
) -> None:
    id = bench.add()
    (claimed,) = worker.step(WORKER, (), CLAIM).claimed
    outcomes = [Outcome.completed(claimed, b'"done"', retention=None)]
    proxy.turn("cutting")
    with pytest.raises(StoreUnavailable, match="unknown"):
        worker.step(WORKER, outcomes, ())
    proxy.turn("well")
    until(lambda: bench.state(id) is JobState.COMPLETED)
    assert worker.step(WORKER, outcomes, ()).lost == frozenset()
    assert worker.step(WORKER, outcomes, ()).lost == {0}


@pytest.mark.usefixtures("soon_crowded")
def test_what_has_ended_unheard_of_is_sifted_out(worker: Open, bench: Bench) -> None:
    ids = bench.add_some(6)
    claimed = worker.step(WORKER, (), CLAIM).claimed
    assert sorted(each.id for each in claimed) == sorted(ids)
    for each in claimed[1:]:
        bench.store.step(WORKER, [Outcome.completed(each, None, retention=None)], ())
    later = bench.add_some(10)
    worker.step(WORKER, (), CLAIM)
    assert worker.ids_held() == sorted([claimed[0].id, *later])
