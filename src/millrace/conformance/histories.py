"""Examples of histories: the attempts and log lines of a job."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, ERROR, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.ids import new_id
from millrace.job import JobRow
from millrace.outcome import Outcome, lost_lease
from millrace.records import AttemptRow, LogRow
from millrace.states import DELETABLE, RETRYABLE, JobState, OutcomeKind
from millrace.store import MAX_ATTEMPT_ROWS, MAX_LOG_ROWS

__all__ = ["HistoryExamples"]

K = OutcomeKind

#: What each ending writes into the history; a success is told by the job itself.
KINDS: dict[str, OutcomeKind | None] = {
    "completed": K.COMPLETED,
    "failed": K.FAILED,
    "dead": K.DEAD,
    "cancelled": K.CANCELLED,
    "snoozed": K.SNOOZED,
    "released": K.RELEASED,
    "returned": None,
}


def line(row: JobRow, message: str, at: int = 0) -> LogRow:
    """Make a log line of a claimed job."""
    return LogRow(row.ref, row.id, row.claim, at, 20, message, None, row.attempt)


class HistoryExamples(Examples):
    """What a job remembers."""

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_each_recorded_ending_is_one_attempt(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        kind = KINDS[ending]
        bench.end(ending, bench.take())
        assert bench.history(id) == ([] if kind is None else [kind])

    @pytest.mark.parametrize("ending", [ending for ending, kind in KINDS.items() if kind is not None])
    def test_an_attempt_tells_who_when_and_how(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        bench.end("released", bench.take(BEN), BEN)
        started = bench.later(10)
        row = bench.take(ANN)
        finished = bench.later(5)
        outcome = ENDINGS[ending](row)
        bench.finish(ANN, outcome)
        error = outcome.error
        assert bench.store.attempts(id)[-1] == AttemptRow(
            attempt=1,
            claim=2,
            worker=ANN,
            started=started,
            finished=finished,
            outcome=outcome.kind,
            error=None if error is None else error.text,
            traceback=None if error is None else error.traceback,
        )

    def test_attempts_are_told_oldest_first_with_the_success_last(self, bench: Bench) -> None:
        id = bench.add(max_attempts=9)
        for ending in ("failed", "snoozed", "released", "returned", "failed", "completed"):
            bench.end(ending, bench.take())
            bench.later(HOUR / SECOND)
        attempts = bench.store.attempts(id)
        assert [attempt.outcome for attempt in attempts] == [K.FAILED, K.SNOOZED, K.RELEASED, K.FAILED, K.COMPLETED]
        assert [attempt.attempt for attempt in attempts] == [1, 2, 2, 2, 3]
        assert [attempt.claim for attempt in attempts] == [1, 2, 3, 5, 6]

    def test_a_lost_lease_is_an_attempt_that_tells_so(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.lose(row)
        told = lost_lease(1, row.max_crashes).text
        assert bench.store.attempts(id) == [AttemptRow(1, 1, ANN, row.started, bench.now, K.LEASE_LOST, told, None)]

    def test_a_cancel_that_won_leaves_the_attempt_as_it_ended(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.cancel(id)
        bench.end("failed", row)
        assert bench.history(id) == [K.FAILED]

    def test_what_never_ran_has_no_attempts(self, bench: Bench) -> None:
        id = bench.add()
        bench.cancel(id)
        assert bench.store.attempts(id) == []
        assert bench.store.attempts(new_id()) == []

    def test_a_running_attempt_is_not_told_yet(self, bench: Bench) -> None:
        id = bench.bring(JobState.RUNNING)
        assert bench.store.attempts(id) == []

    def test_a_retry_keeps_the_attempts(self, bench: Bench) -> None:
        id = bench.add()
        bench.end("dead", bench.take())
        bench.store.retry([id], RETRYABLE)
        bench.end("completed", bench.take())
        assert bench.history(id) == [K.DEAD, K.COMPLETED]
        assert [attempt.attempt for attempt in bench.store.attempts(id)] == [1, 1]

    def test_a_retry_of_a_completed_job_keeps_its_success(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.later(5)
        bench.end("completed", row)
        before = bench.store.attempts(id)
        bench.later(5)
        bench.store.retry([id], RETRYABLE)
        assert bench.store.attempts(id) == before
        bench.end("completed", bench.take())
        assert bench.history(id) == [K.COMPLETED, K.COMPLETED]

    def test_the_newest_fifty_attempts_are_kept(self, bench: Bench) -> None:
        id = bench.add()
        for _ in range(MAX_ATTEMPT_ROWS + 10):
            bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        claims = [attempt.claim for attempt in bench.store.attempts(id)]
        assert claims == list(range(11, MAX_ATTEMPT_ROWS + 11))

    def test_a_success_after_fifty_failures_is_the_newest_of_fifty(self, bench: Bench) -> None:
        id = bench.add()
        for _ in range(MAX_ATTEMPT_ROWS):
            bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        bench.end("completed", bench.take())
        attempts = bench.store.attempts(id)
        assert len(attempts) == MAX_ATTEMPT_ROWS
        assert (attempts[0].claim, attempts[-1].outcome) == (2, K.COMPLETED)

    def test_attempts_of_different_jobs_do_not_mix(self, bench: Bench) -> None:
        ids = bench.add_some(3)
        for row, ending in zip(bench.claim(), ("failed", "dead", "completed"), strict=True):
            bench.end(ending, row)
        assert [bench.history(id) for id in ids] == [[K.FAILED], [K.DEAD], [K.COMPLETED]]

    # -- logs

    def test_log_lines_are_told_oldest_first_with_their_attempt(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        first = LogRow(row.ref, id, 1, bench.now, 20, "one", b'{"n":1}', 1)
        second = LogRow(row.ref, id, 1, bench.now + 5, 40, "two", None, 1)
        assert bench.store.log(ANN, [first, second]) == [True, True]
        bench.finish(ANN, Outcome.failed(row, ERROR, delay=0, retention=KEPT))
        again = bench.take()
        third = LogRow(again.ref, id, 2, bench.now, 10, "three", b"{}", 2)
        assert bench.store.log(ANN, [third]) == [True]
        assert bench.store.logs(id) == [first, second, third]

    def test_each_line_is_kept_or_refused_by_itself(self, bench: Bench) -> None:
        bench.add_some(2)
        gone, held = bench.claim()
        bench.end("completed", gone)
        lines = [line(gone, "late"), line(held, "good"), line(gone, "later"), line(held, "too")]
        assert bench.store.log(ANN, lines) == [False, True, False, True]
        assert [each.message for each in bench.store.logs(held.id)] == ["good", "too"]
        assert bench.store.logs(gone.id) == []

    def test_a_job_that_is_asked_to_cancel_may_still_log(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.cancel(row.id)
        assert bench.store.log(ANN, [line(row, "giving up")]) == [True]

    def test_the_newest_thousand_lines_are_kept(self, bench: Bench) -> None:
        bench.add_some(2)
        row, other = bench.claim()
        bench.store.log(ANN, [line(other, "beside")])
        for start in range(0, MAX_LOG_ROWS + 250, 125):
            assert all(bench.store.log(ANN, [line(row, str(n)) for n in range(start, start + 125)]))
        assert [each.message for each in bench.store.logs(row.id)] == [str(n) for n in range(250, MAX_LOG_ROWS + 250)]
        assert [each.message for each in bench.store.logs(other.id)] == ["beside"]

    def test_more_than_a_thousand_lines_at_once_are_cut_to_the_newest(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        assert all(bench.store.log(ANN, [line(row, str(n)) for n in range(1500)]))
        kept = bench.store.logs(row.id)
        assert (len(kept), kept[0].message, kept[-1].message) == (MAX_LOG_ROWS, "500", "1499")

    def test_nothing_to_log_is_no_error(self, bench: Bench) -> None:
        assert bench.store.log(ANN, []) == []
        assert bench.store.logs(new_id()) == []

    def test_lines_outlive_the_end_and_a_retry_of_their_job(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.store.log(ANN, [line(row, "kept")])
        bench.end("completed", row)
        bench.store.retry([row.id], RETRYABLE)
        assert [each.message for each in bench.store.logs(row.id)] == ["kept"]

    def test_a_deleted_job_leaves_nothing_to_one_of_the_same_id(self, bench: Bench) -> None:
        id = bench.add(tags=("old",))
        row = bench.take()
        bench.store.log(ANN, [line(row, "old")])
        bench.end("dead", row)
        bench.store.delete([id], DELETABLE)
        assert (bench.store.attempts(id), bench.store.logs(id)) == ([], [])
        bench.add(id=id)
        assert (bench.store.attempts(id), bench.store.logs(id)) == ([], [])
        job = bench.job(id)
        assert (job.claim, job.error, job.result, job.progress, job.tags) == (0, None, None, None, ())
