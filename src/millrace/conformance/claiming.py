"""Examples of claims: who gets which job, in which order, and what the job then says."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ERROR, HOUR, KEPT, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.ids import new_id
from millrace.job import Progress
from millrace.messages import Beat, ClaimRequest
from millrace.options import JobOptions
from millrace.outcome import Outcome
from millrace.states import JobState, Reason
from millrace.store import Store

__all__ = ["ClaimingExamples"]


class ClaimingExamples(Examples):
    """How waiting jobs come to workers."""

    def test_a_claimed_job_runs_under_a_lease(self, bench: Bench) -> None:
        id = bench.add(args=b'{"n":1}')
        before = bench.job(id)
        at = bench.later(5)
        row = bench.take(BEN)
        assert (row.id, row.args, row.state) == (id, b'{"n":1}', JobState.RUNNING)
        assert (row.claim, row.attempt, row.crashes) == (1, 1, 0)
        assert (row.worker, row.started, row.lease) == (BEN, at, at + LEASE)
        assert row.finished is None
        assert row.rev == before.rev + 1

    def test_what_a_claim_hands_out_is_what_is_stored(self, bench: Bench) -> None:
        bench.add(tags=("t",), unique_key="k", priority=3, options=JobOptions(timeout=1.0).encode())
        row = bench.take()
        assert row == bench.job(row.id)

    def test_a_job_is_claimed_once(self, bench: Bench) -> None:
        ids = bench.add_some(3)
        assert [row.id for row in bench.claim(ANN, 2)] == ids[:2]
        assert [row.id for row in bench.claim(BEN, 2)] == ids[2:]
        assert bench.claim(ANN) == bench.claim(BEN) == []

    def test_nothing_to_claim_is_no_error(self, bench: Bench) -> None:
        answer = bench.store.step(ANN, (), [ClaimRequest(10)])
        assert (list(answer.claimed), answer.lost, answer.resulting) == ([], frozenset(), {})
        assert answer.now == bench.now

    def test_a_step_with_nothing_to_do_does_nothing(self, bench: Bench) -> None:
        id = bench.add()
        assert list(bench.store.step(ANN, (), ()).claimed) == []
        assert bench.state(id) is JobState.PENDING

    def test_at_most_as_many_as_asked_for_are_claimed(self, bench: Bench) -> None:
        bench.add_some(10)
        assert [len(bench.claim(limit=limit)) for limit in (1, 2, 4, 8)] == [1, 2, 4, 3]

    def test_a_thousand_jobs_are_claimed_at_once_in_order(self, bench: Bench) -> None:
        ids = bench.add_some(1001)
        assert [row.id for row in bench.claim(limit=1000)] == ids[:1000]
        assert [row.id for row in bench.claim(limit=1000)] == ids[1000:]

    # -- order

    def test_the_higher_priority_comes_first(self, bench: Bench) -> None:
        priorities = [0, -5, 7, 32767, 0, -32768, 7]
        ids = [bench.add(priority=priority) for priority in priorities]
        expected = [3, 2, 6, 0, 4, 1, 5]
        assert [row.id for row in bench.claim()] == [ids[place] for place in expected]

    def test_of_equal_priorities_the_longest_due_comes_first(self, bench: Bench) -> None:
        dues = [30, 10, 20]
        ids = [bench.add(due=bench.now - due * SECOND) for due in dues]
        assert [row.id for row in bench.claim()] == [ids[0], ids[2], ids[1]]

    def test_of_equal_due_times_the_lower_id_comes_first(self, bench: Bench) -> None:
        ids = [new_id() for _ in range(20)]
        for id in ids[::-1]:
            bench.add(id=id)
        assert [row.id for row in bench.claim()] == ids

    def test_the_order_is_the_same_over_several_claims_and_tasks(self, bench: Bench) -> None:
        rows = [bench.row(task=f"t{n % 3}", priority=n % 4, due=bench.now - n * 31 % 17) for n in range(60)]
        bench.store.insert(rows)
        in_order = sorted(rows, key=lambda row: (-row.priority, row.due, row.id))
        claimed = [row.id for _ in range(12) for row in bench.claim(limit=5)]
        assert claimed == [row.id for row in in_order]

    def test_a_higher_priority_that_comes_later_overtakes(self, bench: Bench) -> None:
        bench.add_some(5)
        urgent = bench.add(priority=1)
        assert bench.take().id == urgent

    def test_a_promoted_job_stands_where_its_due_time_says(self, bench: Bench) -> None:
        late = bench.add(delay=2 * SECOND)
        early = bench.add(delay=SECOND)
        bench.later(5)
        now = bench.add()
        assert [row.id for row in bench.claim()] == [early, late, now]

    # -- due times

    def test_a_scheduled_job_is_not_claimed_before_its_time(self, bench: Bench) -> None:
        bench.add(delay=2 * SECOND)
        bench.later(1)
        assert bench.claim() == []

    def test_a_scheduled_job_is_claimed_at_its_very_time(self, bench: Bench) -> None:
        id = bench.add(delay=2 * SECOND)
        bench.later(2)
        assert bench.take().id == id

    def test_a_failed_job_is_claimed_when_its_retry_is_due(self, bench: Bench) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=10 * SECOND, retention=KEPT))
        assert bench.claim() == []
        bench.later(10)
        row = bench.take()
        assert (row.id, row.attempt, row.claim) == (id, 2, 2)

    def test_every_due_job_counts_for_the_order_however_many_came_due(self, bench: Bench) -> None:
        bench.add_some(700, delay=SECOND)
        urgent = bench.add(delay=2 * SECOND, priority=1)
        bench.later(3)
        assert bench.take().id == urgent

    def test_many_that_came_due_are_all_claimed(self, bench: Bench) -> None:
        ids = bench.add_some(1500, delay=SECOND)
        bench.later(2)
        claimed = [row.id for _ in range(2) for row in bench.claim(limit=1000)]
        assert claimed == ids

    def test_the_caller_may_tell_the_time_of_a_step(self, bench: Bench) -> None:
        id = bench.add(delay=HOUR)
        at = bench.now + 2 * HOUR
        answer = bench.store.step(ANN, (), [ClaimRequest(1, lease=LEASE)], now=at)
        assert answer.now == at
        assert [(row.id, row.started, row.lease) for row in answer.claimed] == [(id, at, at + LEASE)]

    # -- what is asked for

    def test_only_the_queues_asked_for_are_claimed_from(self, bench: Bench) -> None:
        mail, report = bench.add(queue="mail"), bench.add(queue="report")
        bench.add(queue="other")
        assert {row.id for row in bench.claim(queues=("mail", "report", "unheard of"))} == {mail, report}
        assert bench.store.depth() == 1

    def test_an_unheard_of_queue_gives_nothing(self, bench: Bench) -> None:
        bench.add()
        assert bench.claim(queues=("unheard of",)) == []

    def test_a_queue_named_twice_is_one_queue(self, bench: Bench) -> None:
        ids = bench.add_some(4, queue="mail")
        assert [row.id for row in bench.claim(limit=3, queues=("mail", "mail"))] == ids[:3]

    def test_no_queue_asked_for_gives_nothing(self, bench: Bench) -> None:
        bench.add()
        assert bench.claim(queues=()) == []

    def test_only_the_tasks_asked_for_are_claimed(self, bench: Bench) -> None:
        ids = [bench.add(task=task) for task in ("read", "write", "read", "erase")]
        assert [row.id for row in bench.claim(tasks=frozenset({"read", "erase"}))] == [ids[0], ids[2], ids[3]]

    def test_no_task_asked_for_gives_nothing(self, bench: Bench) -> None:
        bench.add()
        assert bench.claim(tasks=frozenset()) == []

    def test_an_unknown_task_stays_for_a_worker_that_knows_it(self, bench: Bench) -> None:
        unknown = bench.add_some(20, task="unknown", priority=5)
        known = bench.add(task="known")
        assert bench.take(tasks=frozenset({"known"})).id == known
        assert bench.claim(tasks=frozenset({"known"})) == []
        assert {bench.job(id).state for id in unknown} == {JobState.PENDING}
        assert [row.id for row in bench.claim(BEN, tasks=frozenset({"unknown"}))] == unknown

    def test_a_task_first_seen_after_a_claim_is_found_by_the_next(self, bench: Bench) -> None:
        assert bench.claim() == []
        id = bench.add(queue="new", task="new")
        assert bench.take().id == id

    def test_queues_and_tasks_are_asked_for_together(self, bench: Bench) -> None:
        bench.add(queue="mail", task="write")
        bench.add(queue="report", task="read")
        id = bench.add(queue="mail", task="read")
        assert [row.id for row in bench.claim(queues=("mail",), tasks=frozenset({"read"}))] == [id]

    def test_several_requests_are_served_in_their_order(self, bench: Bench) -> None:
        low = bench.add_some(3, queue="low")
        high = bench.add_some(3, queue="high")
        requests = [ClaimRequest(2, ("high",)), ClaimRequest(2, ("low",)), ClaimRequest(2, ("high", "low"))]
        claimed = [row.id for row in bench.store.step(ANN, (), requests).claimed]
        assert claimed[:4] == high[:2] + low[:2]
        assert set(claimed[4:]) == {high[2], low[2]}

    # -- counters

    def test_attempt_and_claim_grow_with_every_claim(self, bench: Bench) -> None:
        bench.add()
        for time in (1, 2, 3):
            row = bench.take()
            assert (row.attempt, row.claim) == (time, time)
            bench.finish(ANN, Outcome.failed(row, ERROR, delay=0, retention=KEPT))

    def test_a_claim_clears_the_reason(self, bench: Bench) -> None:
        id = bench.add()
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=0, reason=Reason.TIMEOUT, retention=KEPT))
        assert bench.job(id).reason is Reason.TIMEOUT
        assert bench.take().reason is None
        assert bench.job(id).reason is None

    def test_a_claim_tells_what_earlier_attempts_left(self, bench: Bench) -> None:
        bench.add()
        row = bench.take()
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, progress=Progress(0.5, "half"), result=b'"part"')])
        bench.finish(ANN, Outcome.failed(row, ERROR, delay=0, retention=KEPT))
        again = bench.take()
        assert (again.error, again.progress, again.result) == (ERROR.text, Progress(0.5, "half"), b'"part"')
        assert again == bench.job(again.id)

    # -- leases

    def test_the_lease_is_the_jobs_own_else_the_tasks_else_the_requests(self, bench: Bench) -> None:
        own = JobOptions(lease=2.5).encode()
        silent = JobOptions(timeout=1.0, trace={"tracestate": 'vendor="lease":7'}).encode()
        rows = [
            bench.row(task="slow", options=own),
            bench.row(task="slow", options=silent),
            bench.row(task="slow"),
            bench.row(task="plain", options=own),
            bench.row(task="plain"),
        ]
        bench.store.insert(rows)
        claimed = bench.claim(lease=7 * SECOND, leases={"slow": 90 * SECOND, "unheard of": 1})
        assert [row.lease for row in claimed] == [
            bench.now + micros for micros in (2_500_000, 90 * SECOND, 90 * SECOND, 2_500_000, 7 * SECOND)
        ]
        assert [bench.job(row.id).lease for row in claimed] == [row.lease for row in claimed]

    # -- finishing and claiming in one step

    def test_outcomes_are_written_before_the_claims_are_served(self, bench: Bench) -> None:
        id = bench.add()
        released = Outcome.released(bench.take(), retention=KEPT)
        answer = bench.store.step(ANN, [released], [ClaimRequest(1)])
        assert [(row.id, row.claim, row.attempt) for row in answer.claimed] == [(id, 2, 1)]

    def test_a_retry_due_at_once_is_claimed_in_the_same_step(self, bench: Bench) -> None:
        id = bench.add()
        failed = Outcome.failed(bench.take(), ERROR, delay=0, retention=KEPT)
        answer = bench.store.step(ANN, [failed], [ClaimRequest(1)])
        assert [(row.id, row.attempt) for row in answer.claimed] == [(id, 2)]

    def test_a_refused_outcome_does_not_keep_a_step_from_claiming(self, bench: Bench) -> None:
        bench.add()
        stale = bench.take()
        bench.lose(stale)
        answer = bench.store.step(ANN, [Outcome.completed(stale, None, retention=KEPT)], [ClaimRequest(1)])
        assert answer.lost == frozenset({0})
        assert [row.claim for row in answer.claimed] == [2]

    def test_jobs_flow_through_steps_until_none_is_left(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(250)
        done: list[bytes] = []
        outcomes: list[Outcome] = []
        while (answer := store.step(ANN, outcomes, [ClaimRequest(40)])).claimed:
            assert answer.lost == frozenset()
            done += [row.id for row in answer.claimed]
            outcomes = [Outcome.completed(row, b"1", retention=KEPT) for row in answer.claimed]
        assert done == ids
        assert store.counts()[JobState.COMPLETED] == 250

    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.PENDING}))
    def test_only_pending_jobs_are_claimed(self, bench: Bench, state: JobState) -> None:
        id = bench.bring(state)
        before = bench.job(id)
        assert bench.claim(BEN) == []
        assert bench.job(id) == before
