"""Examples of retention: how long what has ended is kept, and what takes it away."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ERROR, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.messages import JobFilter
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import FINAL, JobState, Reason
from millrace.store import Store

__all__ = ["RetentionExamples"]

ALL = frozenset(JobState)


class RetentionExamples(Examples):
    """How jobs go away."""

    # -- at the end of an attempt

    @pytest.mark.parametrize("ending", ["completed", "dead", "cancelled"])
    def test_a_job_that_is_not_kept_is_gone_when_it_ends(self, bench: Bench, store: Store, ending: str) -> None:
        id = bench.add(tags=("t",), args=b"x" * 5000)
        row = bench.take()
        store.log(ANN, [LogRow(row.ref, id, row.claim, 0, 20, "x")])
        outcome = {
            "completed": Outcome.completed(row, b"1", retention=0),
            "dead": Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=0),
            "cancelled": Outcome.cancelled(row, ERROR, retention=0),
        }[ending]
        answer = bench.finish(ANN, outcome)
        assert (answer.lost, answer.resulting) == (frozenset(), {})
        assert bench.is_gone(id)
        assert (store.attempts(id), store.logs(id)) == ([], [])
        assert store.counts() == dict.fromkeys(JobState, 0)
        assert store.page(JobFilter(tag="t"), limit=5) == ([], None)

    def test_where_a_cancel_wins_the_cancelled_retention_counts(self, bench: Bench) -> None:
        ids = bench.add_some(3)
        rows = bench.claim()
        for id in ids:
            bench.cancel(id)
        answer = bench.finish(
            ANN,
            Outcome.failed(rows[0], ERROR, delay=5, retention=0),
            Outcome.snoozed(rows[1], delay=5, retention=None),
            Outcome.released(rows[2], retention=HOUR),
        )
        assert answer.resulting == dict.fromkeys(range(3), JobState.CANCELLED)
        assert bench.is_gone(ids[0])
        assert [bench.job(id).expires for id in ids[1:]] == [None, bench.now + HOUR]

    def test_kept_and_not_kept_go_together_in_one_step(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(30)
        rows = bench.claim()
        lengths = [None, 0, SECOND, HOUR, 0]
        bench.finish(ANN, *(Outcome.completed(row, b"1", retention=lengths[n % 5]) for n, row in enumerate(rows)))
        kept = [None if job is None else job.expires for job in store.get(ids)]
        assert kept == [None, None, bench.now + SECOND, bench.now + HOUR, None] * 6
        assert store.counts()[JobState.COMPLETED] == 18

    # -- expire

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_a_job_goes_when_its_retention_has_passed(self, bench: Bench, store: Store, state: JobState) -> None:
        id = bench.bring(state)
        bench.later(KEPT / SECOND - 1)
        assert store.expire() == 0
        bench.later(2)
        assert store.expire() == 1
        assert bench.is_gone(id)
        assert store.counts() == dict.fromkeys(JobState, 0)

    def test_a_job_that_has_not_ended_never_expires(self, bench: Bench, store: Store) -> None:
        for state in ALL - FINAL:
            bench.bring(state)
        bench.later(1000 * HOUR / SECOND)
        assert store.expire() == 0

    def test_a_job_kept_for_ever_never_expires(self, bench: Bench, store: Store) -> None:
        bench.add()
        bench.finish(ANN, Outcome.completed(bench.take(), None, retention=None))
        bench.later(1000 * HOUR / SECOND)
        assert store.expire() == 0

    def test_what_belongs_to_an_expired_job_goes_with_it(self, bench: Bench, store: Store) -> None:
        id = bench.add(tags=("t",), args=b"x" * 5000)
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        row = bench.take()
        store.log(ANN, [LogRow(row.ref, id, row.claim, 0, 20, "x")])
        bench.end("completed", row)
        bench.later(KEPT / SECOND + 1)
        assert store.expire() == 1
        assert (store.attempts(id), store.logs(id)) == ([], [])
        for where in (JobFilter(), JobFilter(tag="t"), JobFilter(error="Broken")):
            assert store.page(where, limit=5) == ([], None)

    def test_jobs_expire_in_chunks(self, bench: Bench, store: Store) -> None:
        bench.add_some(25)
        for row in bench.claim():
            bench.end("completed", row)
        bench.later(KEPT / SECOND + 1)
        assert [store.expire(limit=10) for _ in range(4)] == [10, 10, 5, 0]

    def test_what_expired_first_goes_first(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(3)
        rows = bench.claim()
        lengths = (3 * SECOND, SECOND, 2 * SECOND)
        bench.finish(
            ANN, *(Outcome.completed(row, None, retention=each) for row, each in zip(rows, lengths, strict=True))
        )
        bench.later(10)
        store.expire(limit=2)
        assert [bench.is_gone(id) for id in ids] == [False, True, True]

    def test_the_caller_may_tell_the_time_of_an_expiry(self, bench: Bench, store: Store) -> None:
        bench.bring(JobState.COMPLETED)
        assert store.expire(now=bench.now) == 0
        assert store.expire(now=bench.now + KEPT + 1) == 1

    # -- purge

    def test_a_purge_takes_what_finished_before_a_time(self, bench: Bench, store: Store) -> None:
        old = bench.bring(JobState.COMPLETED)
        bench.later(10)
        between = bench.now
        bench.later(10)
        new = bench.bring(JobState.COMPLETED)
        assert store.purge(between, FINAL) == 1
        assert (bench.is_gone(old), bench.is_gone(new)) == (True, False)

    def test_a_purge_goes_by_the_finish_not_by_the_making(self, bench: Bench, store: Store) -> None:
        first = bench.add()
        row = bench.take()
        second = bench.bring(JobState.COMPLETED)
        bench.later(10)
        between = bench.now
        bench.later(10)
        bench.end("completed", row)
        assert store.purge(between, FINAL) == 1
        assert (bench.is_gone(first), bench.is_gone(second)) == (False, True)

    def test_a_purge_takes_only_the_states_asked_for(self, bench: Bench, store: Store) -> None:
        ids = {state: bench.bring(state) for state in JobState}
        bench.later(10)
        assert store.purge(bench.now, frozenset({JobState.COMPLETED, JobState.CANCELLED})) == 2
        gone = {state for state, id in ids.items() if bench.is_gone(id)}
        assert gone == {JobState.COMPLETED, JobState.CANCELLED}

    def test_a_purge_never_takes_what_has_not_ended(self, bench: Bench, store: Store) -> None:
        for state in JobState:
            bench.bring(state)
        bench.later(10)
        assert store.purge(bench.now, ALL) == 3
        assert store.counts() == {state: 0 if state in FINAL else 1 for state in JobState}

    def test_a_purge_takes_what_would_be_kept_for_ever(self, bench: Bench, store: Store) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.completed(bench.take(), None, retention=None))
        bench.later(10)
        assert store.purge(bench.now, FINAL) == 1
        assert bench.is_gone(id)

    def test_a_purge_works_in_chunks(self, bench: Bench, store: Store) -> None:
        bench.add_some(25)
        for row in bench.claim():
            bench.end("dead", row)
        bench.later(10)
        assert [store.purge(bench.now, FINAL, limit=10) for _ in range(4)] == [10, 10, 5, 0]
        assert store.counts() == dict.fromkeys(JobState, 0)
