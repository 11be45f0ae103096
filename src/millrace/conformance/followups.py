"""Examples of jobs that wait for others: holding them, releasing them, and what becomes of them when a parent fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, ERROR, HOUR, KEPT, LEASE, Bench
from millrace.conformance.examples import Examples
from millrace.conformance.family import Family
from millrace.followups import OnParent
from millrace.ids import new_id
from millrace.job import JobRow
from millrace.messages import ClaimRequest, NewRow
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE, JobState, Reason
from millrace.store import Store
from millrace.transfer import Transfer

__all__ = ["FollowUpExamples"]

S = JobState
each_end = pytest.mark.parametrize("ending", ["dead", "cancelled"])


class FollowUpExamples(Examples):
    """For stores that hold jobs until others have ended (`followups.Following`)."""

    @pytest.fixture
    def family(self, bench: Bench) -> Family:
        """The bench as one whose store holds jobs."""
        return Family(bench)

    def test_a_job_waits_until_its_parent_has_completed(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent)
        assert family.is_held(child)
        assert bench.store.next_due() is None
        bench.later(10 * HOUR / SECOND)
        assert bench.store.promote() == 0
        assert bench.claim(queues=("held",)) == []
        assert bench.store.counts()[S.SCHEDULED] == 1
        family.end(parent)
        assert (bench.state(child), bench.job(child).due) == (S.PENDING, bench.now)
        assert bench.take(queues=("held",)).id == child

    def test_a_job_waits_for_the_last_of_its_parents(self, bench: Bench, family: Family) -> None:
        parents = [bench.add(queue=name) for name in "abc"]
        child = family.hold(*parents)
        assert family.store.open_parents([child]) == [tuple(sorted(parents))]
        for place, parent in enumerate(parents):
            assert family.is_held(child)
            assert family.store.followers([parent]) == [(child,)]
            family.end(parent)
            assert family.store.open_parents([child]) == [tuple(sorted(parents[place + 1 :]))]
        assert bench.state(child) is S.PENDING

    def test_many_jobs_may_wait_for_one(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        children = [family.hold(parent) for _ in range(30)]
        assert family.store.followers([parent]) == [tuple(sorted(children))]
        family.end(parent)
        assert set(bench.states(children)) == {S.PENDING}
        assert family.store.followers([parent]) == [()]

    def test_a_step_that_ends_the_parent_claims_no_job_before_it(self, bench: Bench, family: Family) -> None:
        bench.add()
        row = bench.take()
        child = family.hold(row.id)
        bench.store.step(ANN, [ENDINGS["completed"](row)], [ClaimRequest(1, lease=LEASE)])
        assert bench.state(child) in {S.PENDING, S.RUNNING}

    def test_a_parent_earlier_in_the_call_is_known(self, bench: Bench, family: Family) -> None:
        first = bench.row()
        second, third = family.row(first.id), family.row(first.id)
        assert family.store.hold([first, second, third]).existing == {}
        assert bench.states([first.id, second.id, third.id]) == [S.PENDING, S.SCHEDULED, S.SCHEDULED]

    def test_an_unknown_parent_is_told_and_nothing_is_written(self, bench: Bench, family: Family) -> None:
        known, unknown = bench.add(), new_id()
        rows = [bench.row(), family.row(known, unknown), bench.row()]
        assert family.store.hold(rows).unknown == (1, unknown)
        assert family.store.hold([family.row(rows[0].id), bench.row(id=rows[0].id)]).unknown == (0, rows[0].id)
        assert sum(bench.store.counts().values()) == 1
        assert family.store.followers([known]) == [()]

    def test_a_job_that_is_there_already_is_not_held_anew(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        there = bench.row(queue="held", unique_key="k")
        bench.store.insert([there])
        twin, same = family.row(parent, unique_key="k"), family.row(parent, id=there.id)
        answer = family.store.hold([twin, same])
        assert {place: each.row.id for place, each in answer.existing.items()} == {0: there.id, 1: there.id}
        assert bench.state(there.id) is S.PENDING
        assert family.store.followers([parent]) == [()]

    def test_a_parent_that_its_key_kept_out_stands_for_the_holder(self, bench: Bench, family: Family) -> None:
        holder = bench.add(unique_key="k")
        twin = bench.row(unique_key="k")
        child = family.row(twin.id)
        assert list(family.store.hold([twin, child]).existing) == [0]
        assert family.store.open_parents([child.id]) == [(holder,)]
        family.end(holder)
        assert bench.state(child.id) is S.PENDING

    def test_a_time_of_its_own_is_kept_while_it_is_held(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        at = bench.now + HOUR
        child, late = family.hold(parent, not_before=at), family.hold(parent, not_before=bench.now + 1)
        bench.later(5)
        family.end(parent)
        assert (bench.state(child), bench.job(child).due) == (S.SCHEDULED, at)
        assert (bench.state(late), bench.job(late).due) == (S.PENDING, bench.now)
        assert bench.store.next_due() == at

    # -- parents that have ended already

    @pytest.mark.parametrize("rule", ["wait", "cancel", "run"])
    def test_a_parent_that_has_completed_counts_at_once(self, bench: Bench, family: Family, rule: OnParent) -> None:
        done = bench.bring(S.COMPLETED)
        assert bench.state(family.hold(done, rule=rule)) is S.PENDING

    @pytest.mark.parametrize("state", [S.DEAD, S.CANCELLED])
    def test_a_parent_that_has_failed_acts_at_once(self, bench: Bench, family: Family, state: JobState) -> None:
        failed = bench.bring(state)
        assert family.is_held(family.hold(failed, rule="wait"))
        assert bench.state(family.hold(failed, rule="run")) is S.PENDING
        gone = bench.job(family.hold(failed, rule="cancel"))
        assert (gone.state, gone.reason, gone.finished, gone.expires) == (
            S.CANCELLED,
            Reason.PARENT,
            bench.now,
            bench.now + KEPT,
        )

    # -- parents that fail

    @each_end
    def test_by_rule_wait_it_stays_until_the_parent_completes_after_all(
        self, bench: Bench, family: Family, ending: str
    ) -> None:
        parent = bench.add()
        child = family.hold(parent)
        for _ in range(2):
            family.end(parent, ending)
            assert family.is_held(child)
            assert family.store.settle() == 0
            bench.store.retry([parent], RETRYABLE)
            assert family.is_held(child)
        family.end(parent)
        assert bench.state(child) is S.PENDING

    @each_end
    def test_by_rule_run_any_end_counts(self, bench: Bench, family: Family, ending: str) -> None:
        parent = bench.add()
        child = family.hold(parent, rule="run")
        family.end(parent, ending)
        assert bench.state(child) is S.PENDING

    @each_end
    def test_by_rule_cancel_it_is_cancelled_and_so_are_those_that_wait_for_it(
        self, bench: Bench, family: Family, ending: str
    ) -> None:
        parent, other = bench.add(), bench.add(queue="other")
        child = family.hold(parent, other, rule="cancel")
        grandchild = family.hold(child, rule="cancel")
        waiting, running = family.hold(grandchild), family.hold(grandchild, rule="run")
        family.end(parent, ending)
        assert bench.states([child, grandchild]) == [S.CANCELLED, S.CANCELLED]
        assert {bench.job(id).reason for id in (child, grandchild)} == {Reason.PARENT}
        assert family.is_held(waiting)
        assert bench.state(running) is S.PENDING
        family.end(other)
        assert bench.state(child) is S.CANCELLED
        assert bench.store.counts()[S.CANCELLED] == 2 + (ending == "cancelled")

    def test_a_job_that_its_parent_cancels_and_nobody_keeps_is_gone(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent, rule="cancel", retention=0.0)
        grandchild = family.hold(child, rule="cancel")
        bench.cancel(parent)
        assert bench.is_gone(child)
        assert bench.state(grandchild) is S.CANCELLED

    def test_a_waiting_parent_that_is_cancelled_acts(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        ids = [family.hold(parent, rule="cancel"), family.hold(parent, rule="run")]
        bench.cancel(parent)
        assert bench.states(ids) == [S.CANCELLED, S.PENDING]

    def test_a_waiting_parent_that_is_deleted_counts_as_cancelled(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        rules: tuple[OnParent, ...] = ("cancel", "run", "wait")
        ids = [family.hold(parent, rule=rule) for rule in rules]
        bench.store.delete([parent], DELETABLE)
        assert bench.states(ids) == [S.CANCELLED, S.PENDING, S.SCHEDULED]
        assert family.store.settle() == 0
        assert bench.cancel(ids[2])

    def test_a_parent_whose_last_lease_is_lost_acts(self, bench: Bench, family: Family) -> None:
        parent = bench.add(max_crashes=1)
        child = family.hold(parent, rule="cancel")
        bench.lose(bench.take(queues=("default",)))
        assert bench.states([parent, child]) == [S.DEAD, S.CANCELLED]

    def test_a_parent_that_fails_or_is_given_back_releases_nothing(self, bench: Bench, family: Family) -> None:
        parent = bench.add(max_crashes=9)
        child = family.hold(parent, rule="run")
        for ending in ("returned", "released", "failed"):
            family.end(parent, ending)
            assert family.is_held(child)
            bench.later(2 * HOUR / SECOND)
        bench.lose(bench.take(queues=("default",)))
        assert family.is_held(child)

    def test_a_stale_worker_releases_nothing(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent)
        stale = bench.take(queues=("default",))
        bench.lose(stale)
        assert bench.take(BEN, queues=("default",)).id == parent
        assert bench.end("completed", stale).lost == {0}
        assert family.is_held(child)

    @pytest.mark.parametrize("ending", ["completed", "dead", "cancelled"])
    def test_a_parent_that_nobody_keeps_acts_before_it_goes(self, bench: Bench, family: Family, ending: str) -> None:
        ends: dict[str, Callable[[JobRow], Outcome]] = {
            "completed": lambda row: Outcome.completed(row, b"5", retention=0),
            "dead": lambda row: Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=0),
            "cancelled": lambda row: Outcome.cancelled(row, None, retention=0),
        }
        parent = bench.add()
        waiting = family.hold(parent)
        cancelled, running = family.hold(parent, rule="cancel"), family.hold(parent, rule="run")
        row = bench.take(queues=("default",))
        assert bench.finish(ANN, ends[ending](row)).lost == frozenset()
        done = ending == "completed"
        assert family.is_held(waiting) is not done
        assert bench.states([cancelled, running]) == [S.PENDING if done else S.CANCELLED, S.PENDING]
        assert bench.is_gone(parent)

    # -- what is done to held jobs

    def test_a_held_job_may_be_cancelled_and_then_retried(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent, rule="cancel")
        assert bench.cancel(child)
        assert bench.job(child).reason is Reason.CANCELLED
        bench.store.retry([child], RETRYABLE)
        assert bench.state(child) is S.PENDING
        family.end(parent, "dead")
        assert bench.state(child) is S.PENDING

    def test_a_held_job_may_be_deleted(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent)
        bench.store.delete([child], DELETABLE)
        family.end(parent)
        assert bench.is_gone(child)
        assert family.store.followers([parent]) == [()]

    def test_a_held_job_that_is_given_a_time_waits_for_nobody(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent, rule="cancel")
        bench.store.reschedule([child], RESCHEDULABLE, due=bench.now)
        assert bench.state(child) is S.PENDING
        family.end(parent, "dead")
        assert bench.state(child) is S.PENDING

    @pytest.mark.parametrize("conflict", ["replace", "debounce"])
    def test_a_held_holder_of_a_key_takes_arguments_and_stays_held(
        self, bench: Bench, family: Family, conflict: Any
    ) -> None:
        parent = bench.add()
        child = family.hold(parent, unique_key="k")
        change = bench.row(queue="held", unique_key="k", args=b'{"a":2}', on_conflict=conflict, delay=SECOND)
        bench.store.insert([change])
        assert bench.job(child).args == b'{"a":2}'
        assert family.is_held(child)
        family.end(parent)
        assert bench.state(child) is S.PENDING

    # -- purging

    def test_a_parent_that_is_purged_has_counted(self, bench: Bench, family: Family) -> None:
        parent, other = bench.add(), bench.add(queue="other")
        child = family.hold(parent, other)
        family.end(parent)
        bench.later(2 * KEPT / SECOND)
        assert bench.store.expire() == 1
        assert family.store.open_parents([child]) == [(other,)]
        family.end(other)
        assert bench.state(child) is S.PENDING

    def test_a_dead_parent_that_is_purged_leaves_the_job_held(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        child = family.hold(parent)
        family.end(parent, "dead")
        bench.later(1)
        assert bench.store.purge(bench.now, frozenset({S.DEAD})) == 1
        family.store.settle()
        assert family.is_held(child)

    # -- results

    def test_a_result_becomes_an_argument(self, bench: Bench, family: Family) -> None:
        parent = bench.add()
        ids = [
            family.hold(parent, into="a", args=b'{"b":2}'),
            family.hold(parent, into="a"),
            family.hold(parent, into='a"', args=b'{"text":"%s"}' % (b"x" * 3000)),
        ]
        row = bench.take(queues=("default",))
        bench.finish(ANN, Outcome.completed(row, b'{"n":[1]}', retention=KEPT))
        jobs = [bench.job(id) for id in ids]
        assert [job.args for job in jobs[:2]] == [b'{"a":{"n":[1]},"b":2}', b'{"a":{"n":[1]}}']
        assert jobs[2].args == b'{"a\\"":{"n":[1]},"text":"%s"}' % (b"x" * 3000)
        assert {job.state for job in jobs} == {S.PENDING}

    def test_no_result_becomes_null(self, bench: Bench, family: Family) -> None:
        dead, silent = bench.add(), bench.add(queue="other")
        ids = [family.hold(dead, into="a", rule="run"), family.hold(silent, into="a")]
        family.end(dead, "dead")
        bench.finish(ANN, Outcome.completed(bench.take(queues=("other",)), None, retention=0))
        assert [bench.job(id).args for id in ids] == [b'{"a":null}', b'{"a":null}']

    # -- races

    def test_two_workers_that_end_two_parents_at_once_release_the_job_once(self, bench: Bench, family: Family) -> None:
        for _ in range(8):
            parents = [bench.row(), bench.row()]
            child = family.row(parents[0].id, parents[1].id)
            family.store.hold([*parents, child])
            rows = {row.id: row for row in bench.claim(queues=("default",))}
            start = threading.Barrier(2)

            def end(row: Any, start: threading.Barrier = start) -> None:
                start.wait()
                bench.finish(ANN, ENDINGS["completed"](row))

            threads = [threading.Thread(target=end, args=(rows[parent.id],)) for parent in parents]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            family.store.settle()
            assert bench.take(queues=("held",)).id == child.id
            assert bench.job(child.id).claim == 1

    def test_a_job_that_is_held_while_its_parent_ends_is_released(self, bench: Bench, family: Family) -> None:
        for _ in range(8):
            bench.add()
            row = bench.take(queues=("default",))
            child = family.row(row.id)
            start = threading.Barrier(2)

            def hold(child: NewRow = child, start: threading.Barrier = start) -> None:
                start.wait()
                family.store.hold([child])

            thread = threading.Thread(target=hold)
            thread.start()
            start.wait()
            bench.finish(ANN, ENDINGS["completed"](row))
            thread.join()
            family.store.settle()
            assert bench.state(child.id) is S.PENDING

    # -- moving

    def test_held_jobs_move_to_another_store_and_back(self, bench: Bench, family: Family) -> None:
        store: Store = bench.store
        assert isinstance(store, Transfer)
        parent, done = bench.add(), bench.add(queue="done")
        child = family.hold(parent, done, rule="cancel", args=b'{"b":2}')
        family.end(done)
        whole = {job.row.id: job for job in store.export(limit=500)[0]}
        assert whole[child].waits == (parent,)
        store.delete([child, parent], DELETABLE)
        store.restore([whole[child]])
        assert family.is_held(child)
        store.restore([whole[parent]])
        family.store.settle()
        assert family.is_held(child)
        family.end(parent)
        assert bench.state(child) is S.PENDING

    def test_where_nobody_waits_there_is_nothing_to_settle(self, bench: Bench, family: Family) -> None:
        bench.add()
        bench.end("completed", bench.take())
        assert family.store.settle() == 0
        assert bench.store.cancel([new_id()], CANCELLABLE, retention=KEPT)[0].row is None
