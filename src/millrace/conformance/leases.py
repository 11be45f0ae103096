"""Examples of signs of life: leases that are extended, progress, partial results, and cancels that are heard."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, HOUR, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.job import Progress
from millrace.messages import Beat
from millrace.states import JobState
from millrace.store import Store

__all__ = ["LeaseExamples"]


class LeaseExamples(Examples):
    """What a worker says of the jobs it runs."""

    def test_an_extended_lease_lasts_from_now(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        at = bench.later(20)
        assert bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, 60 * SECOND)]) == [JobState.RUNNING]
        job = bench.job(row.id)
        assert job.lease == at + 60 * SECOND
        assert job.rev == row.rev + 1
        bench.later(59)
        assert bench.rescue() == []
        bench.later(2)
        assert [each.id for each in bench.rescue()] == [row.id]

    def test_a_lease_may_be_made_shorter(self, bench: Bench) -> None:
        bench.add()
        row = bench.take(lease=HOUR)
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, SECOND)])
        bench.later(2)
        assert len(bench.rescue()) == 1

    def test_an_expired_lease_is_extended_while_nobody_took_over(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.later(LEASE / SECOND + 10)
        assert bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, LEASE)]) == [JobState.RUNNING]
        assert bench.rescue() == []

    def test_a_beat_without_a_lease_leaves_it(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.later(5)
        beat = Beat(row.ref, row.id, row.claim, progress=Progress(0.25, "a quarter"))
        assert bench.store.extend(ANN, [beat]) == [JobState.RUNNING]
        job = bench.job(row.id)
        assert (job.lease, job.progress) == (row.lease, Progress(0.25, "a quarter"))

    def test_progress_and_partial_results_are_replaced_by_newer_ones(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        for n in range(3):
            beat = Beat(row.ref, row.id, row.claim, progress=Progress(n / 4, f"step {n}"), result=b"%d" % n)
            bench.store.extend(ANN, [beat])
            job = bench.job(row.id)
            assert (job.progress, job.result) == (Progress(n / 4, f"step {n}"), b"%d" % n)

    def test_a_beat_that_tells_nothing_leaves_progress_and_result(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, progress=Progress(0.5), result=b"1")])
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, LEASE)])
        job = bench.job(row.id)
        assert (job.progress, job.result) == (Progress(0.5), b"1")

    @pytest.mark.parametrize("fraction", [0.0, 0.1, 1 / 3, 1.0])
    def test_a_fraction_is_kept_exactly(self, bench: Bench, fraction: float) -> None:
        bench.add()
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, progress=Progress(fraction))])
        assert bench.job(row.id).progress == Progress(fraction)

    def test_many_beats_are_answered_in_their_order(self, bench: Bench) -> None:
        bench.add_some(600)
        rows = bench.claim(limit=600)
        for row in rows[::5]:
            bench.cancel(row.id)
        for row in rows[1::5]:
            bench.end("completed", row)
        at = bench.later(1)
        beats = [Beat(row.ref, row.id, row.claim, n * SECOND if n % 2 else None) for n, row in enumerate(rows)]
        answers: list[JobState | None] = [JobState.CANCELLING, None, *[JobState.RUNNING] * 3]
        assert bench.store.extend(ANN, beats) == answers * 120
        for n in (2, 3, 5, 599):
            assert bench.job(rows[n].id).lease == (at + n * SECOND if n % 2 else rows[n].lease)

    def test_no_beats_are_no_error(self, store: Store) -> None:
        assert store.extend(ANN, []) == []

    def test_the_caller_may_tell_the_time_of_a_beat(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, SECOND)], now=row.started)
        assert row.started is not None
        assert bench.job(row.id).lease == row.started + SECOND

    # -- cancels that are heard

    def test_a_beat_tells_that_a_cancel_was_asked_for_and_still_extends(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.cancel(row.id)
        at = bench.later(5)
        beat = Beat(row.ref, row.id, row.claim, LEASE, Progress(0.5), b"1")
        assert bench.store.extend(ANN, [beat]) == [JobState.CANCELLING]
        job = bench.job(row.id)
        assert (job.state, job.lease) == (JobState.CANCELLING, at + LEASE)
        assert (job.progress, job.result) == (Progress(0.5), b"1")

    def test_a_worker_hears_of_its_own_cancelling_jobs_only(self, bench: Bench) -> None:
        bench.add_some(6)
        ann, ben = bench.claim(ANN, 3), bench.claim(BEN, 3)
        assert bench.store.cancelling(ANN) == []
        for row in (ann[0], ann[2], ben[1]):
            bench.cancel(row.id)
        assert sorted(bench.store.cancelling(ANN)) == sorted([(ann[0].id, 1), (ann[2].id, 1)])
        assert bench.store.cancelling(BEN) == [(ben[1].id, 1)]

    def test_a_worker_hears_no_more_of_what_has_ended(self, bench: Bench) -> None:
        bench.add_some(2)
        first, second = bench.claim()
        bench.cancel(first.id)
        bench.cancel(second.id)
        bench.end("cancelled", first)
        assert bench.store.cancelling(ANN) == [(second.id, second.claim)]
        bench.end("completed", second)
        assert bench.store.cancelling(ANN) == []

    def test_a_cancel_is_told_with_the_claim_that_must_heed_it(self, bench: Bench) -> None:
        id = bench.add()
        bench.end("released", bench.take())
        bench.take()
        bench.cancel(id)
        assert bench.store.cancelling(ANN) == [(id, 2)]
