"""Examples of unique keys that are held for another time than a job's life, and of holders that are changed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ENDINGS, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.outcome import Outcome
from millrace.states import ACTIVE, CANCELLABLE, DELETABLE, FINAL, LIVE, RETRYABLE, JobState, Reason

__all__ = ["HoldingExamples"]

THREADS = 40
STARTED = b'{"until":"started"}'
AN_HOUR = b'{"until":3600.0}'
AFTER_A_CLAIM = sorted(ACTIVE | {JobState.FAILED} | FINAL)


class HoldingExamples(Examples):
    """When a key is held and when it is free, and what becomes of its holder."""

    # -- until started

    @pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.PENDING])
    def test_until_started_a_job_that_was_never_claimed_holds_its_key(self, bench: Bench, state: JobState) -> None:
        id = bring(bench, state, options=STARTED)
        assert holder(bench) == id

    @pytest.mark.parametrize("state", AFTER_A_CLAIM)
    def test_until_started_a_key_is_free_with_the_claim_whatever_follows(self, bench: Bench, state: JobState) -> None:
        id = bring(bench, state, options=STARTED)
        other = bench.add(unique_key="k", options=STARTED)
        assert holder(bench) == other
        assert bench.job(id).unique_key == bench.job(other).unique_key == "k"

    @pytest.mark.parametrize("ending", ["snoozed", "released", "returned", "failed"])
    def test_until_started_a_job_that_waits_again_has_no_key(self, bench: Bench, ending: str) -> None:
        id = bench.add(unique_key="k", options=STARTED)
        bench.end(ending, bench.take())
        other = bench.add(unique_key="k")
        bench.later(2 * HOUR / SECOND)
        assert {row.id for row in bench.claim()} == {id, other}
        assert holder(bench) == other

    @pytest.mark.parametrize("ending", sorted(ENDINGS))
    def test_a_job_that_has_lost_its_key_ends_and_its_heir_holds_on(self, bench: Bench, ending: str) -> None:
        bench.add(unique_key="k", options=STARTED)
        row = bench.take()
        heir = bench.add(unique_key="k")
        bench.end(ending, row)
        assert holder(bench) == heir
        bench.store.cancel([heir], CANCELLABLE, retention=KEPT)
        assert holder(bench) is None

    def test_a_lost_lease_gives_no_key_back(self, bench: Bench) -> None:
        bench.add(unique_key="k", options=STARTED)
        row = bench.take()
        heir = bench.add(unique_key="k", delay=HOUR)
        bench.lose(row)
        assert holder(bench) == heir

    @pytest.mark.parametrize("state", sorted(RETRYABLE))
    def test_until_started_a_retry_takes_the_key_again(self, bench: Bench, state: JobState) -> None:
        id = bring(bench, state, options=STARTED)
        bench.store.retry([id], RETRYABLE)
        assert bench.job(id).started is None
        assert holder(bench) == id
        bench.claim()
        assert holder(bench) is None

    @pytest.mark.parametrize("state", sorted(RETRYABLE))
    def test_a_retry_after_the_key_was_taken_over_is_refused(self, bench: Bench, state: JobState) -> None:
        id = bring(bench, state, options=STARTED)
        heir = bench.add(unique_key="k", options=STARTED)
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert not changed.changed
        assert changed.holder == bench.job(heir)
        bench.store.delete([heir], DELETABLE)
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert changed.changed
        assert holder(bench) == id

    @pytest.mark.parametrize("options", [None, STARTED])
    def test_a_retry_takes_the_key_from_a_job_that_was_started(self, bench: Bench, options: bytes | None) -> None:
        id = bring(bench, JobState.DEAD, options=options)
        bring(bench, JobState.RUNNING, options=STARTED)
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert (changed.changed, changed.holder) == (True, None)
        assert holder(bench) == id

    def test_of_two_that_were_started_the_first_of_a_call_takes_the_key_again(self, bench: Bench) -> None:
        ids = [bring(bench, JobState.DEAD, options=STARTED) for _ in range(2)]
        one, two = bench.store.retry(ids, RETRYABLE)
        assert (one.changed, two.changed) == (True, False)
        assert two.holder is not None
        assert two.holder.id == ids[0] == holder(bench)

    def test_jobs_are_listed_by_a_key_that_they_have_lost(self, bench: Bench) -> None:
        running = [bring(bench, JobState.RUNNING, options=STARTED) for _ in range(3)]
        waiting = bench.add(unique_key="k", options=STARTED)
        bench.add(unique_key="other")
        rows, _ = bench.store.page(JobFilter(unique_key="k", states=LIVE), limit=10)
        assert [row.id for row in rows] == [waiting, *reversed(running)]
        rows, _ = bench.store.page(JobFilter(unique_key="k", states=ACTIVE), limit=10)
        assert [row.id for row in rows] == list(reversed(running))

    # -- for some seconds

    @pytest.mark.parametrize("ending", sorted(ENDINGS))
    def test_for_seconds_a_key_is_held_beyond_the_end(self, bench: Bench, ending: str) -> None:
        id = bench.add(unique_key="k", options=AN_HOUR)
        bench.later(1000)
        bench.finish(ANN, kept_for_long(ENDINGS[ending](bench.take())))
        bench.later(2599)
        assert holder(bench) == id
        bench.later(2)
        assert holder(bench) is None

    @pytest.mark.parametrize("state", sorted(LIVE))
    def test_for_seconds_a_key_is_free_once_they_are_over_though_its_job_lives(
        self, bench: Bench, state: JobState
    ) -> None:
        id = bring(bench, state, options=b'{"until":5.0}')
        assert holder(bench) == id
        bench.later(6)
        heir = bench.add(unique_key="k")
        assert holder(bench) == heir
        assert bench.job(id).unique_key == "k"

    def test_seconds_count_from_the_insert_and_not_from_a_retry(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", options=AN_HOUR)
        bench.later(3000)
        bench.finish(ANN, kept_for_long(ENDINGS["dead"](bench.take())))
        bench.store.retry([id], RETRYABLE)
        bench.later(599)
        assert holder(bench) == id
        bench.later(2)
        assert holder(bench) is None

    def test_an_ended_job_that_holds_its_key_is_retried_under_it(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", options=AN_HOUR)
        bench.finish(ANN, kept_for_long(ENDINGS["completed"](bench.take())))
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert (changed.changed, changed.holder) == (True, None)
        assert holder(bench) == id

    def test_an_ended_job_that_holds_its_key_stops_the_retry_of_another(self, bench: Bench) -> None:
        other = bring(bench, JobState.DEAD)
        id = bench.add(unique_key="k", options=AN_HOUR)
        bench.finish(ANN, kept_for_long(ENDINGS["completed"](bench.take())))
        (changed,) = bench.store.retry([other], RETRYABLE)
        assert not changed.changed
        assert changed.holder == bench.job(id)
        bench.later(3601)
        (changed,) = bench.store.retry([other], RETRYABLE)
        assert changed.changed

    def test_who_is_told_of_an_ended_holder_sees_it_as_it_is(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", options=AN_HOUR)
        bench.finish(ANN, kept_for_long(ENDINGS["completed"](bench.take())))
        assert ask(bench, on_conflict="replace", args=b"[1]") == bench.job(id)
        assert (bench.job(id).state, bench.job(id).args) == (JobState.COMPLETED, b"{}")

    def test_a_deleted_or_expired_job_holds_nothing(self, bench: Bench) -> None:
        for _ in range(2):
            bench.add(unique_key="k", options=AN_HOUR)
            bench.end("completed", bench.take())  # kept for ten minutes, as its outcome says
            bench.later(601)
            assert bench.store.expire() == 1
        id = bench.add(unique_key="k", options=AN_HOUR)
        bench.store.delete([id], DELETABLE)
        assert holder(bench) is None

    @pytest.mark.parametrize("options", [AN_HOUR, b'{"retention":1.0,"until":3600.0}'])
    def test_who_is_cancelled_is_kept_while_it_holds_its_key(self, bench: Bench, options: bytes) -> None:
        waiting = bench.add(unique_key="k", options=options)
        bench.cancel(waiting)
        bench.add(unique_key="l", options=options)
        row = bench.take()
        bench.cancel(row.id)
        bench.lose(row)
        bench.later(3500)
        bench.store.expire()
        assert bench.states([waiting, row.id]) == [JobState.CANCELLED, JobState.CANCELLED]
        assert holder(bench) == waiting

    def test_who_crashed_too_often_is_kept_while_it_holds_its_key(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", options=AN_HOUR, max_crashes=1)
        bench.lose(bench.take())
        bench.later(3500)
        bench.store.expire()
        assert bench.job(id).reason is Reason.CRASHED
        assert holder(bench) == id

    def test_a_job_without_seconds_is_kept_no_longer_for_its_key(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", options=STARTED, max_crashes=1)
        bench.lose(bench.take())
        assert bench.job(id).expires == bench.now + KEPT

    # -- several scopes

    def test_the_scope_is_that_of_the_holder(self, bench: Bench) -> None:
        id = bench.add(unique_key="k")
        bench.take()
        holder = ask(bench, options=STARTED)
        assert holder is not None
        assert holder.id == id

    def test_a_key_goes_from_scope_to_scope(self, bench: Bench) -> None:
        ids: list[bytes] = []
        for options in (STARTED, AN_HOUR, STARTED, None, AN_HOUR, None):
            bench.later(3601)
            ids.append(bench.add(unique_key="k", options=options))
            assert holder(bench) == ids[-1]
            bench.finish(ANN, kept_for_long(ENDINGS["completed"](bench.take())))
        assert len(set(ids)) == 6
        assert holder(bench) is None

    def test_of_twins_behind_a_started_job_the_first_goes_in(self, bench: Bench) -> None:
        bring(bench, JobState.RUNNING, options=STARTED)
        rows = [bench.row(unique_key="k", options=STARTED), bench.row(), bench.row(unique_key="k")]
        answer = bench.store.insert(rows)
        assert {n: there.row.id for n, there in answer.existing.items()} == {2: rows[0].id}
        assert holder(bench) == rows[0].id


def kept_for_long(outcome: Outcome) -> Outcome:
    """Keep the job for a day, however it ends."""
    return replace(outcome, retention=24 * HOUR, cancelled_retention=24 * HOUR)


def bring(bench: Bench, state: JobState, **fields: Any) -> bytes:
    """Make a job of the key `k` in any state, in the one queue of these examples."""
    return bench.bring(state, **{"queue": "default", "unique_key": "k"} | fields)


def ask(bench: Bench, **fields: Any) -> JobRow | None:
    """Insert a job of the key `k`; return the holder where there is one."""
    answer = bench.store.insert([bench.row(unique_key="k", **fields)])
    there = answer.existing.get(0)
    assert there is None or there.by_key
    return None if there is None else there.row


def holder(bench: Bench) -> bytes | None:
    """Tell who holds the key `k`, in a way that leaves no job behind."""
    row = bench.row(unique_key="k")
    there = bench.store.insert([row]).existing.get(0)
    if there is None:
        bench.store.delete([row.id], DELETABLE)
    return None if there is None else there.row.id
