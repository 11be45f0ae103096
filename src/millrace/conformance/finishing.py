"""Examples of outcomes: what each makes of a job, and who wins where a cancel came in between."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, ERROR, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.job import Progress
from millrace.messages import Beat
from millrace.outcome import ErrorRecord, Outcome
from millrace.states import ACTIVE, FINAL, JobState, Reason, allowed
from millrace.store import Store

__all__ = ["FinishingExamples"]

S = JobState

#: The state to which each outcome brings a running job, and one that was asked to cancel.
RESULTS: dict[str, tuple[JobState, JobState]] = {
    "completed": (S.COMPLETED, S.COMPLETED),
    "failed": (S.FAILED, S.CANCELLED),
    "dead": (S.DEAD, S.DEAD),
    "cancelled": (S.CANCELLED, S.CANCELLED),
    "snoozed": (S.SCHEDULED, S.CANCELLED),
    "released": (S.PENDING, S.CANCELLED),
    "returned": (S.PENDING, S.CANCELLED),
}
GIVES_WAY = [ending for ending, (asked, cancelling) in RESULTS.items() if asked is not cancelling]


class FinishingExamples(Examples):
    """What becomes of a job when an attempt ends."""

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_each_outcome_brings_a_running_job_to_its_state(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        answer = bench.end(ending, bench.take())
        assert (answer.lost, answer.resulting) == (frozenset(), {})
        assert bench.state(id) is RESULTS[ending][0]
        assert allowed(S.RUNNING, bench.state(id))

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_each_outcome_brings_a_cancelling_job_to_its_state(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        row = bench.take()
        bench.cancel(id)
        answer = bench.end(ending, row)
        asked, result = RESULTS[ending]
        assert answer.lost == frozenset()
        assert answer.resulting == ({} if asked is result else {0: result})
        assert bench.state(id) is result
        assert allowed(S.CANCELLING, result)

    @pytest.mark.parametrize("state", sorted(set(JobState) - ACTIVE))
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_no_outcome_touches_a_job_that_does_not_run(self, bench: Bench, ending: str, state: JobState) -> None:
        id = bench.bring(state)
        before = bench.job(id)
        assert bench.end(ending, before).lost == frozenset({0})
        assert bench.job(id) == before

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_an_ended_attempt_holds_no_lease_and_raises_rev(self, bench: Bench, ending: str) -> None:
        bench.add()
        row = bench.take()
        at = bench.later(3)
        bench.end(ending, row)
        job = bench.job(row.id)
        assert job.lease is None
        assert job.rev == row.rev + 1
        assert (job.claim, job.worker, job.started) == (row.claim, ANN, row.started)
        assert job.finished == (at if job.state in FINAL else None)
        assert job.expires == (at + KEPT if job.state in FINAL else None)

    # -- success

    def test_a_completed_job_tells_its_result_and_no_error(self, bench: Bench) -> None:
        bench.add()
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, reason=Reason.TIMEOUT, retention=KEPT))
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, progress=Progress(0.9))])
        bench.finish(ANN, Outcome.completed(row, b'{"sum":5}', retention=None))
        job = bench.job(row.id)
        assert (job.result, job.error, job.reason, job.progress) == (b'{"sum":5}', None, None, Progress(0.9))
        assert (job.attempt, job.expires) == (2, None)

    def test_a_completed_job_without_a_result_has_none(self, bench: Bench) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.completed(bench.take(), None, retention=KEPT))
        assert bench.job(id).result is None

    def test_a_partial_result_stays_where_nothing_is_returned_and_gives_way_to_what_is(self, bench: Bench) -> None:
        bench.add_some(2)
        rows = bench.claim()
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, result=b'"part"') for row in rows])
        assert [bench.job(row.id).result for row in rows] == [b'"part"'] * 2
        bench.finish(
            ANN,
            Outcome.completed(rows[0], None, retention=KEPT),
            Outcome.completed(rows[1], b'"whole"', retention=KEPT),
        )
        assert [bench.job(row.id).result for row in rows] == [b'"part"', b'"whole"']

    def test_a_late_success_still_counts_while_nobody_took_the_job_over(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.later(10 * HOUR / SECOND)
        assert bench.end("completed", row).lost == frozenset()
        assert bench.rescue() == []
        assert (bench.state(row.id), bench.job(row.id).crashes) == (S.COMPLETED, 0)

    # -- failure

    def test_a_failed_job_waits_its_delay_from_the_stores_now(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        at = bench.later(20)
        bench.finish(ANN, Outcome.failed(row, ERROR, delay=90 * SECOND, reason=Reason.TIMEOUT, retention=KEPT))
        job = bench.job(row.id)
        assert (job.state, job.due, job.reason) == (S.FAILED, at + 90 * SECOND, Reason.TIMEOUT)
        assert (job.attempt, job.error) == (1, ERROR.text)

    def test_a_later_error_replaces_an_earlier_one(self, bench: Bench) -> None:
        id = bench.add()
        for n in range(3):
            error = ErrorRecord("Broken", f"time {n}")
            bench.finish(ANN, Outcome.failed(bench.take(), error, delay=0, retention=KEPT))
            assert bench.job(id).error == f"Broken: time {n}"

    @pytest.mark.parametrize("ending", ["snoozed", "released", "returned", "cancelled"])
    def test_an_ending_without_an_error_leaves_the_last_one(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        bench.end(ending, bench.take())
        assert bench.job(id).error == ERROR.text

    @pytest.mark.parametrize("reason", [Reason.EXHAUSTED, Reason.SKIP_RETRY, Reason.TIMEOUT, Reason.BAD_RESULT])
    def test_a_dead_job_says_why(self, bench: Bench, reason: Reason) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.dead(bench.take(), ERROR, reason=reason, retention=KEPT))
        job = bench.job(id)
        assert (job.state, job.reason, job.error, job.attempt) == (S.DEAD, reason, ERROR.text, 1)

    def test_an_error_without_a_class_is_its_message(self, bench: Bench) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.dead(bench.take(), ErrorRecord("", "no"), reason=Reason.EXHAUSTED, retention=KEPT))
        assert bench.job(id).error == "no"

    def test_a_job_that_cancels_itself_says_so(self, bench: Bench) -> None:
        id = bench.add()
        error = ErrorRecord("CancelJob", "withdrawn")
        bench.finish(ANN, Outcome.cancelled(bench.take(), error, retention=KEPT))
        job = bench.job(id)
        assert (job.state, job.reason, job.error) == (S.CANCELLED, Reason.CANCELLED, "CancelJob: withdrawn")

    # -- neither

    def test_a_snoozed_job_gets_its_try_back_and_waits(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        at = bench.later(2)
        bench.finish(ANN, Outcome.snoozed(row, delay=60 * SECOND, retention=KEPT))
        job = bench.job(row.id)
        assert (job.state, job.due, job.attempt, job.claim) == (S.SCHEDULED, at + 60 * SECOND, 0, 1)
        bench.later(60)
        assert bench.take().attempt == 1

    @pytest.mark.parametrize("ending", ["released", "returned"])
    def test_a_job_given_back_gets_its_try_back_and_keeps_its_place(self, bench: Bench, ending: str) -> None:
        first, second = bench.add_some(2)
        row = bench.take()
        due = bench.job(first).due
        bench.later(2)
        bench.end(ending, row)
        job = bench.job(first)
        assert (job.state, job.due, job.attempt, job.claim) == (S.PENDING, due, 0, 1)
        assert [row.id for row in bench.claim()] == [first, second]

    @pytest.mark.parametrize("ending", ["snoozed", "released", "returned"])
    def test_tries_and_claims_are_never_mixed(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        for time in range(1, 5):
            row = bench.take()
            assert (row.attempt, row.claim) == (1, time)
            bench.end(ending, row)
            bench.later(HOUR / SECOND)
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT))
        row = bench.take()
        assert (row.attempt, row.claim, bench.job(id).crashes) == (2, 6, 0)

    # -- races with a cancel

    @pytest.mark.parametrize("ending", GIVES_WAY)
    def test_a_cancel_wins_over_what_would_run_again(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        row = bench.take()
        bench.cancel(id)
        at = bench.later(4)
        bench.end(ending, row)
        job = bench.job(id)
        assert (job.state, job.reason) == (S.CANCELLED, Reason.CANCELLED)
        assert (job.finished, job.expires) == (at, at + KEPT)
        bench.later(2 * HOUR / SECOND)
        assert bench.claim() == []

    def test_a_failure_under_a_cancel_still_tells_its_error(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.cancel(id)
        bench.end("failed", row)
        (attempt,) = bench.store.attempts(id)
        assert bench.job(id).error == attempt.error == ERROR.text

    def test_a_handler_that_returned_wins_over_a_cancel(self, bench: Bench) -> None:
        id = bench.add()
        row = bench.take()
        bench.cancel(id)
        bench.end("completed", row)
        job = bench.job(id)
        assert (job.state, job.reason, job.result) == (S.COMPLETED, None, b'"done"')

    # -- many at once

    def test_mixed_outcomes_of_many_jobs_are_written_in_one_step(self, bench: Bench, store: Store) -> None:
        bench.add_some(700)
        rows = bench.claim(limit=700)
        for row in rows[::3]:
            bench.cancel(row.id)
        names = [list(ENDINGS)[n % len(ENDINGS)] for n in range(700)]
        stolen = set(range(0, 700, 50))
        outcomes = [
            Outcome.completed(rows[n], None, retention=KEPT) if n in stolen else ENDINGS[name](rows[n])
            for n, name in enumerate(names)
        ]
        for n in stolen:  # these have ended before
            bench.end("dead", rows[n])
        answer = store.step(ANN, outcomes, ())
        assert answer.lost == stolen
        expected = [S.DEAD if n in stolen else RESULTS[name][n % 3 == 0] for n, name in enumerate(names)]
        assert [job.state for job in store.get([row.id for row in rows]) if job is not None] == expected
        assert answer.resulting == {
            n: S.CANCELLED for n, name in enumerate(names) if n not in stolen and n % 3 == 0 and name in GIVES_WAY
        }
        assert store.counts() == {state: expected.count(state) for state in JobState}

    def test_outcomes_of_jobs_claimed_at_different_times_go_together(self, bench: Bench) -> None:
        old = bench.add()
        for _ in range(3):
            bench.end("released", bench.take())
        rows = [bench.take()]
        bench.add_some(2)
        rows += bench.claim()
        answer = bench.finish(ANN, *(Outcome.completed(row, b"%d" % row.claim, retention=KEPT) for row in rows))
        assert answer.lost == frozenset()
        assert bench.job(old).result == b"4"
        assert [bench.job(row.id).result for row in rows] == [b"4", b"1", b"1"]

    def test_an_attempt_ends_once_even_in_one_step(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        answer = bench.finish(
            ANN,
            Outcome.failed(row, ERROR, delay=HOUR, retention=KEPT),
            Outcome.completed(row, b"1", retention=KEPT),
        )
        assert answer.lost == frozenset({1})
        assert bench.state(row.id) is S.FAILED
        assert len(bench.history(row.id)) == 1

    def test_workers_finish_only_their_own_of_what_they_send(self, bench: Bench) -> None:
        bench.add_some(4)
        ann, ben = bench.claim(ANN, 2), bench.claim(BEN, 2)
        mixed = [ann[0], ben[0], ann[1], ben[1]]
        answer = bench.finish(ANN, *(Outcome.completed(row, None, retention=KEPT) for row in mixed))
        assert answer.lost == frozenset({1, 3})
        assert bench.states([row.id for row in mixed]) == [S.COMPLETED, S.RUNNING, S.COMPLETED, S.RUNNING]

    def test_the_caller_may_tell_the_time_of_an_outcome(self, bench: Bench) -> None:
        id = bench.add()
        at = bench.now + HOUR
        bench.store.step(ANN, [Outcome.failed(bench.take(), ERROR, delay=5, retention=KEPT)], (), now=at)
        assert bench.job(id).due == at + 5
        assert bench.store.attempts(id)[0].finished == at
