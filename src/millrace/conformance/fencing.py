"""Examples of the fence: nothing that an old claim says is ever written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, KEPT, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.job import JobRow, Progress
from millrace.messages import Beat
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import DELETABLE, RETRYABLE, JobState

__all__ = ["FencingExamples"]


def taken_over(bench: Bench) -> tuple[int, JobRow]:
    """Another worker has the job."""
    row = bench.take(ANN)
    bench.lose(row)
    bench.take(BEN)
    return ANN, row


def taken_over_by_itself(bench: Bench) -> tuple[int, JobRow]:
    """The same worker has the job, under a newer claim."""
    row = bench.take(ANN)
    bench.lose(row)
    bench.take(ANN)
    return ANN, row


def rescued(bench: Bench) -> tuple[int, JobRow]:
    """The job was taken back and waits."""
    row = bench.take(ANN)
    bench.lose(row)
    return ANN, row


def ended(bench: Bench) -> tuple[int, JobRow]:
    """The same claim has ended the job already."""
    row = bench.take(ANN)
    bench.end("completed", row)
    return ANN, row


def released(bench: Bench) -> tuple[int, JobRow]:
    """The same claim has given the job back, and another worker has it."""
    row = bench.take(ANN)
    bench.end("released", row)
    bench.take(BEN)
    return ANN, row


def retried(bench: Bench) -> tuple[int, JobRow]:
    """The job has ended, was retried, and runs again."""
    row = bench.take(ANN)
    bench.end("dead", row)
    bench.store.retry([row.id], RETRYABLE)
    bench.take(ANN)
    return ANN, row


def another_workers(bench: Bench) -> tuple[int, JobRow]:
    """The claim is good, and not this worker's."""
    return BEN, bench.take(ANN)


def from_the_future(bench: Bench) -> tuple[int, JobRow]:
    """The claim is one that nobody was given."""
    row = bench.take(ANN)
    return ANN, JobRow(row.ref, row.id, row.task, row.queue, row.args, claim=row.claim + 1)


def deleted(bench: Bench) -> tuple[int, JobRow]:
    """The job has ended and was deleted."""
    row = bench.take(ANN)
    bench.end("dead", row)
    bench.store.delete([row.id], DELETABLE)
    return ANN, row


def expired(bench: Bench) -> tuple[int, JobRow]:
    """The job has ended and its retention has passed; another was made since."""
    row = bench.take(ANN)
    bench.end("completed", row)
    bench.later(KEPT / SECOND + 1)
    assert bench.store.expire() == 1
    bench.add()
    bench.take(ANN)
    return ANN, row


STALE: dict[str, Callable[[Bench], tuple[int, JobRow]]] = {
    "taken over": taken_over,
    "taken over by the same worker": taken_over_by_itself,
    "rescued": rescued,
    "ended": ended,
    "released": released,
    "retried": retried,
    "another worker's": another_workers,
    "never given": from_the_future,
    "deleted": deleted,
    "expired": expired,
}
stale_claims = pytest.mark.parametrize("stale", STALE.values(), ids=STALE)


class Snapshot:
    """All that a store tells of one job, and how many jobs there are."""

    def __init__(self, bench: Bench, id: bytes) -> None:
        self.told = (
            bench.store.get([id]),
            bench.store.attempts(id),
            bench.store.logs(id),
            bench.store.counts(),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.told == other.told

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Snapshot {self.told}>"


class FencingExamples(Examples):
    """What a worker may not do any more."""

    @stale_claims
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_stale_claim_finishes_nothing(
        self, bench: Bench, ending: str, stale: Callable[[Bench], tuple[int, JobRow]]
    ) -> None:
        bench.add()
        worker, row = stale(bench)
        before = Snapshot(bench, row.id)
        answer = bench.end(ending, row, worker)
        assert answer.lost == frozenset({0})
        assert answer.resulting == {}
        assert Snapshot(bench, row.id) == before

    @stale_claims
    def test_a_stale_claim_extends_no_lease(self, bench: Bench, stale: Callable[[Bench], tuple[int, JobRow]]) -> None:
        bench.add()
        worker, row = stale(bench)
        before = Snapshot(bench, row.id)
        assert bench.store.extend(worker, [Beat(row.ref, row.id, row.claim, LEASE)]) == [None]
        assert Snapshot(bench, row.id) == before

    @stale_claims
    def test_a_stale_claim_stores_no_progress_and_no_result(
        self, bench: Bench, stale: Callable[[Bench], tuple[int, JobRow]]
    ) -> None:
        bench.add()
        worker, row = stale(bench)
        before = Snapshot(bench, row.id)
        beats = [
            Beat(row.ref, row.id, row.claim, progress=Progress(0.5, "stale")),
            Beat(row.ref, row.id, row.claim, result=b'"stale"'),
            Beat(row.ref, row.id, row.claim, LEASE, Progress(0.6), b'"stale"'),
        ]
        assert bench.store.extend(worker, beats) == [None] * 3
        assert Snapshot(bench, row.id) == before

    @stale_claims
    def test_a_stale_claim_logs_nothing(self, bench: Bench, stale: Callable[[Bench], tuple[int, JobRow]]) -> None:
        bench.add()
        worker, row = stale(bench)
        before = Snapshot(bench, row.id)
        line = LogRow(row.ref, row.id, row.claim, bench.now, 20, "stale")
        assert bench.store.log(worker, [line]) == [False]
        assert Snapshot(bench, row.id) == before

    @stale_claims
    def test_a_stale_claim_hears_of_no_cancel(self, bench: Bench, stale: Callable[[Bench], tuple[int, JobRow]]) -> None:
        bench.add()
        worker, row = stale(bench)
        bench.cancel(row.id)
        assert (row.id, row.claim) not in bench.store.cancelling(worker)

    @stale_claims
    def test_a_refused_outcome_spoils_no_other_of_its_step(
        self, bench: Bench, stale: Callable[[Bench], tuple[int, JobRow]]
    ) -> None:
        bench.add()
        worker, row = stale(bench)
        good_ids = bench.add_some(3, queue="good")
        good = bench.claim(worker, queues=("good",))
        outcomes = [Outcome.completed(each, None, retention=KEPT) for each in (good[0], row, *good[1:])]
        assert bench.finish(worker, *outcomes).lost == frozenset({1})
        assert bench.states(good_ids) == [JobState.COMPLETED] * 3

    def test_an_expired_lease_that_nobody_took_over_still_holds(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.later(LEASE / SECOND * 100)
        line = LogRow(row.ref, id, row.claim, bench.now, 20, "late", attempt=row.attempt)
        assert bench.store.log(ANN, [line]) == [True]
        beat = Beat(row.ref, id, row.claim, LEASE, Progress(0.5))
        assert bench.store.extend(ANN, [beat]) == [JobState.RUNNING]
        assert bench.rescue() == []
        assert bench.end("completed", row).lost == frozenset()

    def test_the_new_owner_is_not_disturbed_by_the_old_one(self, bench: Bench) -> None:
        id = bench.add()
        old = bench.take(ANN)
        bench.lose(old)
        new = bench.take(BEN)
        for ending in ENDINGS:
            assert bench.end(ending, old, ANN).lost == frozenset({0})
        assert bench.job(id) == new
        assert bench.end("completed", new, BEN).lost == frozenset()
        assert bench.state(id) is JobState.COMPLETED

    def test_claims_of_a_job_only_grow(self, bench: Bench) -> None:
        id = bench.add(max_crashes=100)
        claims = [0]
        for ending in (*ENDINGS, "lost", *ENDINGS):
            bench.store.retry([id], RETRYABLE)
            bench.store.reschedule([id], frozenset({JobState.SCHEDULED}), due=0)
            row = bench.take()
            claims.append(row.claim)
            if ending == "lost":
                bench.lose(row)
            else:
                bench.end(ending, row)
        assert claims == list(range(len(claims)))
