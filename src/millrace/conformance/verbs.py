"""Examples of the verbs on jobs: cancel, retry, reschedule, delete. In which states each works, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ERROR, HOUR, KEPT, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.ids import new_id
from millrace.job import Progress
from millrace.messages import Beat, Changed
from millrace.options import JobOptions
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, DELETABLE, FINAL, LIVE, RESCHEDULABLE, RETRYABLE, JobState, allowed
from millrace.store import Store

__all__ = ["VerbExamples"]

S = JobState
Verb = Callable[[Bench, Sequence[bytes], frozenset[JobState]], list[Changed]]

#: Each verb on jobs, and the states that it may change.
VERBS: dict[str, tuple[frozenset[JobState], Verb]] = {
    "cancel": (CANCELLABLE, lambda bench, ids, states: bench.store.cancel(ids, states, retention=KEPT)),
    "retry": (RETRYABLE, lambda bench, ids, states: bench.store.retry(ids, states)),
    "put off": (RESCHEDULABLE, lambda bench, ids, states: bench.store.reschedule(ids, states, due=bench.now + HOUR)),
    "hasten": (RESCHEDULABLE, lambda bench, ids, states: bench.store.reschedule(ids, states, due=bench.now)),
    "delete": (DELETABLE, lambda bench, ids, states: bench.store.delete(ids, states)),
}
each_verb = pytest.mark.parametrize("verb", VERBS)
each_state = pytest.mark.parametrize("state", sorted(JobState))
ALL = frozenset(JobState)


class VerbExamples(Examples):
    """What may be done to jobs from outside."""

    # -- every verb

    @each_verb
    @each_state
    def test_a_verb_changes_a_job_in_its_states_and_no_other(self, bench: Bench, verb: str, state: JobState) -> None:
        states, run = VERBS[verb]
        id = bench.bring(state)
        before = bench.job(id)
        bench.later(1)
        (changed,) = run(bench, [id], states)
        assert changed.changed == (state in states)
        (after,) = bench.store.get([id])
        if state not in states:
            assert changed.row == after == before
        elif verb == "delete":
            assert changed.row == before
            assert after is None
        else:
            assert changed.row == after
            assert after is not None
            assert after.state is state or allowed(state, after.state)
            assert after.rev == before.rev + 1

    @each_verb
    @each_state
    def test_a_verb_never_breaks_the_table_of_states_whatever_it_is_asked(
        self, bench: Bench, verb: str, state: JobState
    ) -> None:
        states, run = VERBS[verb]
        id = bench.bring(state)
        (changed,) = run(bench, [id], ALL)
        assert changed.changed == (state in states)

    @each_verb
    def test_a_verb_leaves_jobs_whose_state_was_not_asked_for(self, bench: Bench, verb: str) -> None:
        states, run = VERBS[verb]
        state = min(states)
        id = bench.bring(state)
        before = bench.job(id)
        assert run(bench, [id], states - {state}) == [Changed(before, changed=False)]
        assert bench.job(id) == before

    @each_verb
    def test_a_verb_answers_in_the_order_of_the_ids(self, bench: Bench, verb: str) -> None:
        states, run = VERBS[verb]
        ids = [bench.bring(state) for state in sorted(JobState)]
        ids.insert(3, new_id())
        answers = run(bench, ids[::-1], states)
        assert [None if each.row is None else each.row.id for each in answers] == [
            None if place == 3 else id for place, id in reversed(list(enumerate(ids)))
        ]
        assert [each.changed for each in answers] == [
            place != 3 and sorted(JobState)[place - (place > 3)] in states for place in range(8, -1, -1)
        ]

    @each_verb
    def test_an_unknown_id_is_told_as_such(self, bench: Bench, verb: str) -> None:
        states, run = VERBS[verb]
        assert run(bench, [new_id()], states) == [Changed(None, changed=False)]
        assert run(bench, [], states) == []

    @each_verb
    def test_a_verb_changes_a_thousand_jobs_at_once(self, bench: Bench, verb: str) -> None:
        states, run = VERBS[verb]
        ids = bench.add_some(1000, delay=HOUR)
        if verb == "retry":
            bench.store.cancel(ids, CANCELLABLE, retention=KEPT)
        answers = run(bench, ids, states)
        assert all(each.changed for each in answers)
        assert [each.row.id for each in answers if each.row is not None] == ids
        assert sum(bench.store.counts().values()) == (0 if verb == "delete" else 1000)

    # -- cancel

    @pytest.mark.parametrize("state", [S.SCHEDULED, S.PENDING, S.FAILED])
    def test_a_waiting_job_is_cancelled_at_once(self, bench: Bench, state: JobState) -> None:
        id = bench.bring(state)
        at = bench.later(1)
        bench.cancel(id)
        job = bench.job(id)
        assert (job.state, job.reason) == (S.CANCELLED, "cancelled")
        assert (job.finished, job.expires, job.lease) == (at, at + KEPT, None)
        bench.later(2 * HOUR / SECOND)
        assert bench.store.promote() == 0

    def test_a_running_job_is_asked_to_cancel_and_keeps_its_lease(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.cancel(row.id)
        job = bench.job(row.id)
        assert (job.state, job.lease, job.worker, job.claim) == (S.CANCELLING, row.lease, ANN, row.claim)
        assert (job.finished, job.expires) == (None, None)

    def test_a_second_cancel_changes_nothing(self, bench: Bench) -> None:
        id = bench.bring(S.RUNNING)
        assert [bench.cancel(id), bench.cancel(id)] == [True, False]
        assert bench.state(id) is S.CANCELLING

    def test_a_cancelled_job_is_kept_as_long_as_told_or_as_it_says_itself(self, bench: Bench, store: Store) -> None:
        options = [None, JobOptions(retention=5.0).encode(), JobOptions(retention=None).encode()]
        ids = [bench.add(options=each) for each in options]
        store.cancel(ids, CANCELLABLE, retention=HOUR)
        assert [bench.job(id).expires for id in ids] == [bench.now + HOUR, bench.now + 5 * SECOND, None]
        kept = bench.add()
        store.cancel([kept], CANCELLABLE, retention=None)
        assert bench.job(kept).expires is None

    def test_a_cancelled_job_that_is_not_kept_is_gone_at_once(self, bench: Bench, store: Store) -> None:
        ids = [bench.add(), bench.add(options=JobOptions(retention=0.0).encode())]
        answers = store.cancel(ids[:1], CANCELLABLE, retention=0) + store.cancel(ids[1:], CANCELLABLE, retention=HOUR)
        assert [each.changed for each in answers] == [True, True]
        assert [each.row.state for each in answers if each.row is not None] == [S.CANCELLED, S.CANCELLED]
        assert store.get(ids) == [None, None]
        assert sum(store.counts().values()) == 0

    # -- retry

    @pytest.mark.parametrize("state", sorted(RETRYABLE))
    def test_a_retried_job_is_as_if_just_enqueued(self, bench: Bench, state: JobState) -> None:
        id = bench.add(max_attempts=2, args=b'{"n":1}')
        bench.lose(bench.take())
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, id, row.claim, progress=Progress(0.5), result=b"1")])
        bench.end(state.value, row)
        at = bench.later(3)
        (changed,) = bench.store.retry([id], RETRYABLE)
        job = bench.job(id)
        assert changed == Changed(job, changed=True)
        assert (job.state, job.due, job.args) == (S.PENDING, at, b'{"n":1}')
        assert (job.attempt, job.crashes, job.claim) == (0, 0, 2)
        assert (job.result, job.error, job.reason, job.progress) == (None, None, None, None)
        assert (job.finished, job.expires, job.lease) == (None, None, None)
        assert (job.created, job.max_attempts) == (row.created, 2)
        again = bench.take(BEN)
        assert (again.attempt, again.claim, again.result, again.error) == (1, 3, None, None)

    @pytest.mark.parametrize("size", [2, 1000, 5000])
    @pytest.mark.parametrize("before", [2, 5000])
    def test_a_job_may_be_retried_with_other_arguments(self, bench: Bench, before: int, size: int) -> None:
        id = bench.add(args=b"a" * before)
        bench.end("dead", bench.take())
        bench.store.retry([id], RETRYABLE, args=b"b" * size)
        assert bench.job(id).args == b"b" * size
        assert bench.take().args == b"b" * size

    def test_a_retried_job_lives_as_long_as_any_other(self, bench: Bench) -> None:
        id = bench.bring(S.COMPLETED)
        bench.store.retry([id], RETRYABLE)
        bench.later(KEPT / SECOND * 2)
        assert bench.store.expire() == 0
        assert bench.state(id) is S.PENDING

    def test_a_retried_job_may_crash_as_often_as_a_new_one(self, bench: Bench) -> None:
        id = bench.add(max_crashes=2)
        for _ in range(2):
            bench.lose(bench.take())
        assert bench.state(id) is S.DEAD
        bench.store.retry([id], RETRYABLE)
        bench.lose(bench.take())
        assert bench.state(id) is S.PENDING

    def test_the_caller_may_tell_the_time_of_a_retry(self, bench: Bench) -> None:
        id = bench.bring(S.DEAD)
        bench.store.retry([id], RETRYABLE, now=bench.now + 7)
        assert bench.job(id).due == bench.now + 7

    # -- reschedule

    @pytest.mark.parametrize("state", sorted(RESCHEDULABLE))
    @pytest.mark.parametrize("ahead", [-HOUR, 0, 1, HOUR])
    def test_a_rescheduled_job_is_pending_if_due_and_scheduled_if_not(
        self, bench: Bench, state: JobState, ahead: int
    ) -> None:
        id = bench.bring(state)
        due = bench.now + ahead
        bench.store.reschedule([id], RESCHEDULABLE, due=due)
        job = bench.job(id)
        assert (job.state, job.due) == (S.PENDING if ahead <= 0 else S.SCHEDULED, due)

    def test_a_rescheduled_job_keeps_its_tries_and_its_error(self, bench: Bench) -> None:
        id = bench.bring(S.FAILED)
        bench.store.reschedule([id], RESCHEDULABLE, due=0)
        job = bench.job(id)
        assert (job.attempt, job.error) == (1, ERROR.text)
        assert bench.take().attempt == 2

    def test_a_job_put_off_is_claimed_at_its_new_time(self, bench: Bench) -> None:
        first, second = bench.add_some(2)
        bench.store.reschedule([first], RESCHEDULABLE, due=bench.now + 10 * SECOND)
        assert [row.id for row in bench.claim()] == [second]
        assert bench.store.next_due() == bench.now + 10 * SECOND
        bench.later(10)
        assert bench.take().id == first

    def test_a_job_rescheduled_within_its_queue_takes_its_new_place(self, bench: Bench) -> None:
        ids = bench.add_some(3)
        bench.store.reschedule([ids[2]], RESCHEDULABLE, due=bench.now - 5)
        bench.store.reschedule([ids[0]], RESCHEDULABLE, due=bench.now - 1)
        assert [row.id for row in bench.claim()] == [ids[2], ids[0], ids[1]]

    # -- delete

    @pytest.mark.parametrize("state", sorted(DELETABLE))
    def test_a_deleted_job_is_gone_from_everywhere(self, bench: Bench, store: Store, state: JobState) -> None:
        id = bench.bring(state, tags=("t",), unique_key="k", args=b"x" * 5000)
        store.delete([id], DELETABLE)
        assert store.get([id]) == [None]
        assert (store.attempts(id), store.logs(id)) == ([], [])
        assert sum(store.counts().values()) == 0
        bench.later(2 * HOUR / SECOND)
        assert (store.depth(), store.next_due(), bench.claim()) == (0, None, [])

    @pytest.mark.parametrize("state", sorted(LIVE - DELETABLE))
    def test_a_running_job_is_not_deleted(self, bench: Bench, state: JobState) -> None:
        id = bench.bring(state)
        assert [each.changed for each in bench.store.delete([id], ALL)] == [False]
        assert bench.job(id).lease == bench.now + LEASE

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_a_deleted_job_does_not_expire_later(self, bench: Bench, state: JobState) -> None:
        id = bench.bring(state)
        bench.store.delete([id], DELETABLE)
        bench.later(KEPT / SECOND * 2)
        assert bench.store.expire() == 0
        assert bench.store.counts() == dict.fromkeys(JobState, 0)

    def test_an_outcome_for_a_job_cancelled_while_it_waited_is_refused(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.end("released", row)
        bench.cancel(row.id)
        answer = bench.finish(ANN, Outcome.completed(row, b"1", retention=KEPT))
        assert answer.lost == frozenset({0})
        assert bench.state(row.id) is S.CANCELLED
