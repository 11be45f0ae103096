"""A worker whose calls are lost: claims are given back, what was written is known for its own, beats end in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import Bench
from millrace.errors import StoreUnavailable
from millrace.job import JobRow
from millrace.messages import Beat, ClaimRequest
from millrace.outcome import Outcome
from millrace.records import WorkerRow
from millrace.states import JobState
from millrace.stores import held as holding
from millrace.testing.clock import ManualClock
from tests.servers.proxy import Proxy
from tests.stores.lines.bare import until
from tests.stores.lines.calls import fails
from tests.stores.lines.holding import Holding
from tests.stores.lines.sides import Side

WORKER = 7
CLAIM = [ClaimRequest(10)]


@pytest.fixture
def bench(side: Side) -> Iterator[Bench]:
    """A store with no job, to look at what another one has done."""
    clock = ManualClock()
    side.empty()
    store = side.whole(clock=clock)
    yield Bench(store, clock)
    store.close()


@pytest.fixture
def soon_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of three jobs is a large one."""
    monkeypatch.setattr(holding, "ENOUGH", 3)


@pytest.fixture
def worker(side: Side, proxy: Proxy, bench: Bench) -> Iterator[Holding]:
    """A registered worker's store behind the proxy: its connections are open, and what it sends is known there."""
    store = side.whole(port=proxy.port, clock=bench.clock)
    store.register(WorkerRow(WORKER, "w", 0, 0, b"{}"))
    bench.add()
    (claimed,) = store.step(WORKER, (), CLAIM).claimed
    store.step(WORKER, [Outcome.completed(claimed, None, retention=None)], ())
    store.open_both()
    yield store
    store.close()


def test_jobs_whose_claim_was_lost_are_given_back_and_what_is_held_is_kept(
    worker: Holding, proxy: Proxy, bench: Bench
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
    worker: Holding, proxy: Proxy, bench: Bench
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


def test_an_insert_whose_reply_was_lost_is_made_once_and_told_as_made(
    worker: Holding, proxy: Proxy, bench: Bench
) -> None:
    rows = [bench.row(), bench.row(unique_key="k")]
    proxy.turn("cutting")

    def heal() -> None:
        until(lambda: proxy.hits)
        proxy.turn("well")

    healer = threading.Thread(target=heal)
    healer.start()
    assert worker.insert(rows).existing == {}
    healer.join()
    assert [bench.state(each.id) for each in rows] == [JobState.PENDING] * 2


@pytest.mark.usefixtures("soon_crowded")
def test_what_has_ended_unheard_of_is_sifted_out(worker: Holding, bench: Bench) -> None:
    ids = bench.add_some(6)
    claimed = worker.step(WORKER, (), CLAIM).claimed
    assert sorted(each.id for each in claimed) == sorted(ids)
    for each in claimed[1:]:
        bench.store.step(WORKER, [Outcome.completed(each, None, retention=None)], ())
    later = bench.add_some(10)
    worker.step(WORKER, (), CLAIM)
    assert worker.ids_held(WORKER) == sorted([claimed[0].id, *later])


# -- beats


def beat_of(row: JobRow, lease: float) -> Beat:
    """Make a sign of life; the lease is in seconds."""
    return Beat(row.ref, row.id, row.claim, round(lease * SECOND))


def test_a_job_that_a_beat_finds_lost_is_held_no_longer(worker: Holding, bench: Bench) -> None:
    id = bench.add()
    (claimed,) = worker.step(WORKER, (), CLAIM).claimed
    bench.lose(claimed)
    assert worker.ids_held(WORKER) == [id]  # nobody has told
    assert worker.extend(WORKER, [beat_of(claimed, 60)]) == [None]
    assert worker.ids_held(WORKER) == []


def test_beats_end_within_a_third_of_the_shortest_lease(worker: Holding, proxy: Proxy, bench: Bench) -> None:
    bench.add_some(2)
    one, other = worker.step(WORKER, (), CLAIM).claimed
    beats = [beat_of(one, 60), beat_of(other, 3.6)]
    assert worker.extend(WORKER, beats) == [JobState.RUNNING] * 2
    proxy.turn("silent")
    fails(lambda: worker.extend(WORKER, beats), r"did not answer within 1\.2 s")
