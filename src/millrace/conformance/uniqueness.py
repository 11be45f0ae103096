"""Examples of unique keys: one live job a key, over all queues and tasks of the store."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ENDINGS, ERROR, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.outcome import Outcome
from millrace.states import DELETABLE, FINAL, LIVE, RETRYABLE, JobState

__all__ = ["UniquenessExamples"]


class UniquenessExamples(Examples):
    """When a key is held, when it is free, and who is told."""

    def test_a_second_job_of_a_key_is_left_out_and_the_holder_named(self, bench: Bench) -> None:
        holder = bench.add(unique_key="k", args=b'{"n":1}')
        other = bench.row()
        answer = bench.store.insert([other, bench.row(unique_key="k", args=b'{"n":2}')])
        assert {index: (there.row.id, there.by_key) for index, there in answer.existing.items()} == {1: (holder, True)}
        assert bench.job(holder).args == b'{"n":1}'
        assert bench.state(other.id) is JobState.PENDING
        assert bench.store.depth() == 2

    def test_the_holder_is_told_as_it_now_is(self, bench: Bench) -> None:
        holder = bench.bring(JobState.RUNNING, unique_key="k")
        answer = bench.store.insert([bench.row(unique_key="k")])
        assert answer.existing[0].row == bench.job(holder)

    def test_of_twins_in_one_call_the_first_goes_in(self, bench: Bench) -> None:
        rows = [bench.row(unique_key="k", args=b'{"n":%d}' % n) for n in range(3)]
        answer = bench.store.insert([*rows, bench.row(unique_key="other")])
        assert {index: there.row.id for index, there in answer.existing.items()} == {1: rows[0].id, 2: rows[0].id}
        assert all(there.by_key for there in answer.existing.values())
        assert bench.store.depth() == 2

    @pytest.mark.parametrize("state", sorted(LIVE))
    def test_a_live_job_holds_its_key(self, bench: Bench, state: JobState) -> None:
        holder = bench.bring(state, unique_key="k")
        answer = bench.store.insert([bench.row(unique_key="k")])
        assert answer.existing[0].row.id == holder
        assert answer.existing[0].row.state is state

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_an_ended_job_has_freed_its_key(self, bench: Bench, state: JobState) -> None:
        ended = bench.bring(state, unique_key="k")
        fresh = bench.add(unique_key="k")
        assert bench.job(ended).unique_key == bench.job(fresh).unique_key == "k"

    def test_a_key_is_one_in_the_whole_store(self, bench: Bench) -> None:
        bench.add(unique_key="k", queue="one", task="read")
        assert bench.store.insert([bench.row(unique_key="k", queue="two", task="write")]).existing[0].by_key

    def test_jobs_without_a_key_never_stand_in_each_others_way(self, bench: Bench) -> None:
        assert bench.store.insert([bench.row(unique_key=None) for _ in range(5)]).existing == {}

    def test_keys_that_only_look_alike_are_different(self, bench: Bench) -> None:
        keys = ["k", "K", "k ", " k", "\u00e9", "e\u0301", "k%", "k_", "0", "00"]
        assert bench.store.insert([bench.row(unique_key=key) for key in keys]).existing == {}

    def test_a_deleted_job_frees_its_key(self, bench: Bench) -> None:
        holder = bench.add(unique_key="k")
        bench.store.delete([holder], DELETABLE)
        bench.add(unique_key="k")

    def test_a_job_that_is_not_kept_frees_its_key_at_its_end(self, bench: Bench) -> None:
        bench.add(unique_key="k")
        bench.finish(ANN, Outcome.completed(bench.take(), None, retention=0))
        bench.add(unique_key="k")

    @pytest.mark.parametrize("ending", ["failed", "snoozed", "released", "returned"])
    def test_a_cancel_that_met_an_unfinished_attempt_frees_the_key(self, bench: Bench, ending: str) -> None:
        id = bench.add(unique_key="k")
        row = bench.take()
        bench.cancel(id)
        bench.end(ending, row)
        bench.add(unique_key="k")

    @pytest.mark.parametrize("ending", ["failed", "snoozed", "released", "returned"])
    def test_an_attempt_that_will_be_made_again_keeps_the_key(self, bench: Bench, ending: str) -> None:
        id = bench.add(unique_key="k")
        bench.end(ending, bench.take())
        assert bench.store.insert([bench.row(unique_key="k")]).existing[0].row.id == id

    def test_a_rescued_job_keeps_its_key_until_it_crashed_too_often(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", max_crashes=2)
        bench.lose(bench.take())
        assert bench.store.insert([bench.row(unique_key="k")]).existing[0].row.id == id
        bench.lose(bench.take())
        bench.add(unique_key="k")

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_a_retry_takes_the_key_again(self, bench: Bench, state: JobState) -> None:
        id = bench.bring(state, unique_key="k")
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert changed.changed
        assert bench.store.insert([bench.row(unique_key="k")]).existing[0].row.id == id

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_a_retry_is_refused_while_another_job_holds_the_key(self, bench: Bench, state: JobState) -> None:
        ended = bench.bring(state, unique_key="k")
        holder = bench.add(unique_key="k")
        before = bench.job(ended)
        (changed,) = bench.store.retry([ended], RETRYABLE)
        assert not changed.changed
        assert changed.holder == bench.job(holder)
        assert changed.row == before == bench.job(ended)

    def test_a_failed_job_is_retried_under_its_own_key(self, bench: Bench) -> None:
        id = bench.bring(JobState.FAILED, unique_key="k")
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert (changed.changed, changed.holder) == (True, None)

    def test_of_two_jobs_of_a_key_retried_in_one_call_the_first_takes_it(self, bench: Bench) -> None:
        first = bench.bring(JobState.DEAD, unique_key="k")
        second = bench.bring(JobState.COMPLETED, unique_key="k")
        one, two = bench.store.retry([first, second], RETRYABLE)
        assert (one.changed, two.changed) == (True, False)
        assert two.holder is not None
        assert two.holder.id == first
        assert bench.states([first, second]) == [JobState.PENDING, JobState.COMPLETED]

    def test_a_key_goes_through_many_lives(self, bench: Bench) -> None:
        for ending in ("completed", "dead", "cancelled", "completed"):
            id = bench.add(unique_key="k")
            row = bench.take()
            assert row.id == id
            bench.finish(ANN, ENDINGS[ending](row))
        assert sum(bench.store.counts().values()) == 4

    def test_a_waiting_retry_that_becomes_due_still_holds_the_key(self, bench: Bench) -> None:
        id = bench.add(unique_key="k")
        bench.finish(ANN, Outcome.failed(bench.take(), ERROR, delay=HOUR, retention=KEPT))
        bench.later(HOUR / SECOND)
        bench.store.promote()
        assert bench.store.insert([bench.row(unique_key="k")]).existing[0].row.id == id
