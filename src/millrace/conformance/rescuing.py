"""Examples of lost leases: jobs whose worker is gone are taken back, and not for ever."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ERROR, HOUR, KEPT, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.job import Progress
from millrace.messages import Beat, JobFilter, Rescued
from millrace.options import JobOptions
from millrace.outcome import Outcome, lost_lease
from millrace.states import JobState, OutcomeKind, Reason
from millrace.store import Store

__all__ = ["RescueExamples"]


class RescueExamples(Examples):
    """What becomes of jobs whose lease has passed."""

    def test_a_job_whose_lease_has_passed_is_pending_again(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        assert bench.lose(row) == [Rescued(id, "work", "default", 1, ANN, JobState.PENDING, 1)]
        job = bench.job(id)
        assert (job.state, job.reason, job.lease, job.finished) == (JobState.PENDING, Reason.LEASE_LOST, None, None)
        assert (job.attempt, job.claim, job.crashes) == (0, 1, 1)
        assert job.rev == row.rev + 1

    def test_a_lease_that_has_not_passed_is_left_alone(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.later(LEASE / SECOND - 1)
        assert bench.rescue() == []
        assert bench.job(row.id) == row

    def test_nothing_to_rescue_is_no_error(self, bench: Bench) -> None:
        for state in set(JobState) - {JobState.RUNNING, JobState.CANCELLING}:
            bench.bring(state)
        bench.later(LEASE / SECOND + 1)
        assert bench.rescue() == []

    def test_a_rescued_job_keeps_its_place_in_the_order(self, bench: Bench) -> None:
        first = bench.add()
        row = bench.take()
        bench.later(1)
        second = bench.add()
        bench.lose(row)
        assert bench.job(first).due == row.due
        assert [each.id for each in bench.claim()] == [first, second]

    def test_a_rescued_job_runs_again_under_a_new_claim(self, bench: Bench) -> None:
        bench.add()
        bench.lose(bench.take(ANN))
        row = bench.take(BEN)
        assert (row.attempt, row.claim, row.crashes, row.worker, row.reason) == (1, 2, 1, BEN, None)

    def test_a_lost_lease_costs_no_try(self, bench: Bench) -> None:
        bench.add(max_attempts=2, max_crashes=10)
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        for _ in range(4):
            row = bench.take()
            assert row.attempt == 2
            bench.lose(row)
        assert bench.take().crashes == 4

    @pytest.mark.parametrize("max_crashes", [1, 2, 3])
    def test_the_job_is_dead_with_the_lease_that_was_one_too_many(self, bench: Bench, max_crashes: int) -> None:
        id = bench.add(max_crashes=max_crashes)
        for crashes in range(1, max_crashes):
            (rescued,) = bench.lose(bench.take())
            assert (rescued.state, rescued.crashes) == (JobState.PENDING, crashes)
        (rescued,) = bench.lose(bench.take())
        assert (rescued.state, rescued.crashes) == (JobState.DEAD, max_crashes)
        job = bench.job(id)
        assert (job.state, job.reason, job.crashes) == (JobState.DEAD, Reason.CRASHED, max_crashes)
        assert (job.finished, job.expires) == (bench.now, bench.now + KEPT)
        assert bench.history(id) == [OutcomeKind.LEASE_LOST] * max_crashes
        assert bench.claim() == []

    def test_a_job_that_was_asked_to_cancel_is_cancelled(self, bench: Bench) -> None:
        id = bench.add(max_crashes=1)
        row = bench.take()
        bench.cancel(id)
        (rescued,) = bench.lose(row)
        assert rescued.state is JobState.CANCELLED
        job = bench.job(id)
        assert (job.state, job.reason, job.crashes) == (JobState.CANCELLED, Reason.CANCELLED, 1)
        assert (job.finished, job.expires) == (bench.now, bench.now + KEPT)

    def test_a_rescue_leaves_progress_and_partial_result(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, id, row.claim, progress=Progress(0.5, "half"), result=b"1")])
        bench.lose(row)
        job = bench.job(id)
        assert (job.progress, job.result) == (Progress(0.5, "half"), b"1")

    @pytest.mark.parametrize("state", [JobState.PENDING, JobState.DEAD, JobState.CANCELLED])
    def test_the_loss_is_the_error_of_job_and_attempt_and_found_by_it(self, bench: Bench, state: JobState) -> None:
        id = bench.add(max_crashes=2 if state is JobState.DEAD else 3)
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        bench.lose(bench.take())
        row = bench.take()
        if state is JobState.CANCELLED:
            bench.cancel(id)
        bench.lose(row)
        assert bench.state(id) is state
        assert bench.job(id).error == lost_lease(2, row.max_crashes).text
        told = [ERROR.text, lost_lease(1, row.max_crashes).text, lost_lease(2, row.max_crashes).text]
        assert [each.error for each in bench.store.attempts(id)] == told
        found = [bench.store.select(JobFilter(error=error), limit=5)[0] for error in ("LeaseLost", ERROR.type)]
        assert found == [[id], []]

    # -- how long what ends is kept

    def test_the_dead_are_kept_as_long_as_the_dead_are(self, bench: Bench, store: Store) -> None:
        id = bench.add(max_crashes=1, options=JobOptions(retention=5.0).encode())
        bench.take()
        at = bench.later(LEASE / SECOND + 1)
        store.rescue(retention=HOUR, dead_retention=2 * HOUR)
        assert bench.job(id).expires == at + 2 * HOUR

    def test_the_cancelled_are_kept_as_long_as_told_or_as_they_say_themselves(self, bench: Bench, store: Store) -> None:
        options = [None, JobOptions(retention=5.0).encode(), JobOptions(retention=None).encode(), b'{"timeout":1.0}']
        ids = [bench.add(options=each) for each in options]
        bench.claim()
        for id in ids:
            bench.cancel(id)
        at = bench.later(LEASE / SECOND + 1)
        store.rescue(retention=HOUR, dead_retention=None)
        assert [bench.job(id).expires for id in ids] == [at + HOUR, at + 5 * SECOND, None, at + HOUR]

    def test_what_is_kept_for_ever_does_not_expire(self, bench: Bench, store: Store) -> None:
        dead, cancelled = bench.add(max_crashes=1), bench.add()
        bench.claim()
        bench.cancel(cancelled)
        bench.later(LEASE / SECOND + 1)
        store.rescue(retention=None, dead_retention=None)
        assert [bench.job(id).expires for id in (dead, cancelled)] == [None, None]

    def test_what_is_not_kept_is_gone_at_once(self, bench: Bench, store: Store) -> None:
        dead, cancelled = bench.add(max_crashes=1), bench.add()
        bench.claim()
        bench.cancel(cancelled)
        bench.later(LEASE / SECOND + 1)
        rescued = store.rescue(retention=0, dead_retention=0)
        assert {each.id: each.state for each in rescued} == {dead: JobState.DEAD, cancelled: JobState.CANCELLED}
        assert bench.is_gone(dead)
        assert bench.is_gone(cancelled)
        assert sum(store.counts().values()) == 0

    # -- many

    def test_at_most_as_many_as_asked_for_are_rescued(self, bench: Bench) -> None:
        ids = bench.add_some(25)
        bench.claim()
        bench.later(LEASE / SECOND + 1)
        rescued = [[each.id for each in bench.rescue(limit=10)] for _ in range(4)]
        assert [len(ids) for ids in rescued] == [10, 10, 5, 0]
        assert sorted(id for ids in rescued for id in ids) == ids

    def test_each_is_told_with_its_own_queue_task_and_worker(self, bench: Bench) -> None:
        for n in range(4):
            bench.add(queue=f"q{n % 2}", task=f"t{n}")
        rows = bench.claim(ANN, 2) + bench.claim(BEN, 2)
        told = {each.id: (each.task, each.queue, each.claim, each.worker) for each in bench.lose(*rows)}
        assert told == {row.id: (row.task, row.queue, row.claim, row.worker) for row in rows}

    def test_only_what_has_passed_is_rescued(self, bench: Bench) -> None:
        bench.add_some(2)
        short = bench.take(lease=5 * SECOND)
        long = bench.take(lease=60 * SECOND)
        bench.later(10)
        assert [each.id for each in bench.rescue()] == [short.id]
        assert bench.job(long.id) == long

    def test_a_rescue_finds_each_lost_lease_once(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        assert len(bench.lose(row)) == 1
        assert bench.rescue() == []
        assert bench.job(row.id).crashes == 1

    def test_the_caller_may_tell_the_time_of_a_rescue(self, bench: Bench, store: Store) -> None:
        bench.add()
        row = bench.take()
        assert row.lease is not None
        (rescued,) = store.rescue(retention=None, dead_retention=None, now=row.lease + 1)
        assert rescued.id == row.id
        assert store.attempts(row.id)[0].finished == row.lease + 1
