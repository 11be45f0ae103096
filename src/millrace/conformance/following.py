"""Examples of following: that what happens to jobs can be told from what a store keeps, however seldom one looks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from millrace.conformance.bench import ANN, BEN, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.conformance.histories import line
from millrace.crowd import Crowd
from millrace.errors import JobNotFound
from millrace.events import AttemptFailed, JobCancelled, JobDead, JobEvent, JobLogged, JobStarted
from millrace.feed import JobSight
from millrace.ids import new_id
from millrace.job import JobRow, Progress
from millrace.messages import Beat
from millrace.states import DELETABLE, RESCHEDULABLE, RETRYABLE, JobState
from millrace.store import MAX_LOG_ROWS

__all__ = ["FollowingExamples"]

#: What is told of each ending.
ENDS = {
    "completed": "JobCompleted",
    "failed": "AttemptFailed",
    "dead": "JobDead",
    "cancelled": "JobCancelled",
    "snoozed": "JobSnoozed",
    "released": "JobReleased",
}


def names(events: Sequence[JobEvent]) -> list[str]:
    """Name what was told."""
    return [type(event).__name__ for event in events]


def work(bench: Bench, row: JobRow, *messages: str) -> None:
    """Log some lines, and tell some progress."""
    assert all(bench.store.log(ANN, [line(row, message, bench.now) for message in messages]))
    bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, progress=Progress(0.5))])


class FollowingExamples(Examples):
    """Who follows one job, and who follows many."""

    @pytest.mark.parametrize("ending", ENDS)
    def test_a_job_is_told_step_by_step(self, bench: Bench, ending: str) -> None:
        id = bench.add()
        sight = JobSight(bench.store, id)
        assert names(sight.look()) == ["JobEnqueued"]
        assert names(sight.look()) == []
        row = bench.take()
        assert names(sight.look()) == ["JobStarted"]
        work(bench, row, "one", "two")
        assert names(sight.look()) == ["JobLogged", "JobLogged", "JobProgress"]
        assert names(sight.look()) == []
        bench.end(ending, row)
        assert names(sight.look()) == [ENDS[ending]]
        assert sight.ended == (bench.state(id) in {"completed", "dead", "cancelled"})

    @pytest.mark.parametrize("ending", ENDS)
    def test_one_who_comes_late_is_told_the_same(self, bench: Bench, ending: str) -> None:
        id = bench.add(queue="mail")
        created = bench.now
        bench.later(1)
        row = bench.take()
        started = bench.later(1)
        work(bench, row, "one", "two")
        bench.end(ending, row)
        bench.later(1)
        events = JobSight(bench.store, id).look()
        assert names(events) == ["JobEnqueued", "JobStarted", "JobLogged", "JobLogged", "JobProgress", ENDS[ending]]
        assert {("work", "mail", id)} == {(event.task, event.queue, event.job_id.bytes) for event in events}
        seconds = [event.at.timestamp() - created / 1e6 for event in events]
        assert [round(each) for each in seconds if seconds.index(each) != 4] == [0, 1, 2, 2, 2]
        assert [event.claim for event in events] == [0, 1, 1, 1, 1, 1]
        assert started == bench.now - 1_000_000

    def test_every_attempt_is_told_with_its_lines_in_order(self, bench: Bench) -> None:
        id = bench.add(max_attempts=9)
        for ending in ("failed", "snoozed", "released", "completed"):
            row = bench.take()
            work(bench, row, ending)
            bench.end(ending, row)
            bench.later(2 * HOUR / 1e6)
            bench.store.promote()
        events = JobSight(bench.store, id).look()
        assert names(events) == [
            "JobEnqueued", "JobStarted", "JobLogged", "AttemptFailed", "JobStarted", "JobLogged", "JobSnoozed",
            "JobStarted", "JobLogged", "JobReleased", "JobStarted", "JobLogged", "JobProgress", "JobCompleted",
        ]  # fmt: skip
        assert [event.message for event in events if isinstance(event, JobLogged)] == [
            "failed", "snoozed", "released", "completed",
        ]  # fmt: skip
        assert [event.claim for event in events if isinstance(event, JobStarted)] == [1, 2, 3, 4]

    def test_a_failure_is_told_with_its_error_and_when_it_is_tried_again(self, bench: Bench) -> None:
        id = bench.add()
        bench.end("failed", bench.take())
        event = JobSight(bench.store, id).look()[-1]
        assert isinstance(event, AttemptFailed)
        assert (event.error, event.traceback) == ("Broken: as asked", "Traceback (most recent call last): …")
        assert event.retry_at is not None
        assert (event.retry_at - event.at).total_seconds() * 1e6 == HOUR

    def test_a_job_that_was_claimed_and_never_begun_is_told_as_released(self, bench: Bench) -> None:
        sight = JobSight(bench.store, bench.add())
        row = bench.take()
        assert names(sight.look()) == ["JobEnqueued", "JobStarted"]
        bench.end("returned", row)
        assert names(sight.look()) == ["JobReleased"]
        bench.take()
        assert names(sight.look()) == ["JobStarted"]

    def test_a_lost_lease_is_told_and_what_it_came_to(self, bench: Bench) -> None:
        id = bench.add(max_crashes=2)
        sight = JobSight(bench.store, id)
        bench.lose(bench.take())
        assert names(sight.look()) == ["JobEnqueued", "JobStarted", "LeaseLost"]
        bench.lose(bench.take(BEN))
        events = sight.look()
        assert names(events) == ["JobStarted", "LeaseLost", "JobDead"]
        assert isinstance(events[-1], JobDead)
        assert events[-1].reason == "crashed"
        assert sight.ended

    def test_a_cancel_is_told_when_it_is_asked_for_and_when_it_has_won(self, bench: Bench) -> None:
        id = bench.add()
        sight = JobSight(bench.store, id)
        row = bench.take()
        bench.cancel(id)
        assert names(sight.look()) == ["JobEnqueued", "JobStarted", "JobCancelling"]
        assert names(sight.look()) == []
        bench.later(1)
        bench.end("failed", row)
        (event,) = sight.look()
        assert isinstance(event, JobCancelled)
        assert (event.error, sight.ended) == ("Broken: as asked", True)

    def test_a_cancel_of_a_job_that_waits_is_told_and_an_earlier_failure_as_well(self, bench: Bench) -> None:
        id = bench.add()
        bench.end("failed", bench.take())
        bench.later(1)
        bench.cancel(id)
        assert names(JobSight(bench.store, id).look()) == ["JobEnqueued", "JobStarted", "AttemptFailed", "JobCancelled"]

    def test_what_happens_to_a_job_while_it_waits_is_told(self, bench: Bench) -> None:
        id = bench.add(delay=HOUR)
        sight = JobSight(bench.store, id)
        assert names(sight.look()) == ["JobEnqueued"]
        bench.store.reschedule([id], RESCHEDULABLE, due=bench.now + 2 * HOUR)
        assert names(sight.look()) == ["JobRescheduled"]
        bench.later(2 * HOUR / 1e6)
        bench.store.promote()
        assert names(sight.look()) == ["JobDue"]

    def test_a_retry_is_told_whether_it_was_seen_or_is_history(self, bench: Bench) -> None:
        id = bench.add()
        sight = JobSight(bench.store, id)
        bench.end("dead", bench.take())
        assert names(sight.look()) == ["JobEnqueued", "JobStarted", "JobDead"]
        bench.later(1)
        bench.store.retry([id], RETRYABLE)
        assert names(sight.look()) == ["JobRetried"]
        bench.end("completed", bench.take())
        bench.later(1)
        bench.store.retry([id], RETRYABLE)
        bench.end("failed", bench.take())
        assert names(sight.look()) == ["JobStarted", "JobCompleted", "JobRetried", "JobStarted", "AttemptFailed"]

    def test_a_job_that_is_gone_is_told_so_and_one_that_never_was_is_not_found(self, bench: Bench) -> None:
        id = bench.add()
        sight = JobSight(bench.store, id)
        sight.look()
        bench.store.delete([id], DELETABLE)
        assert names(sight.look()) == ["JobDeleted"]
        assert sight.ended
        with pytest.raises(JobNotFound):
            JobSight(bench.store, new_id()).look()

    def test_lines_are_told_once_though_the_log_forgets_its_oldest(self, bench: Bench) -> None:
        sight = JobSight(bench.store, bench.add())
        row = bench.take()
        told: list[str] = []
        for start in range(0, MAX_LOG_ROWS + 600, 400):
            bench.store.log(ANN, [line(row, str(number), bench.now) for number in range(start, start + 400)])
            told += [event.message for event in sight.look() if isinstance(event, JobLogged)]
        assert told == [str(number) for number in range(MAX_LOG_ROWS + 600)]

    # -- many jobs

    @pytest.mark.parametrize("ending", ENDS)
    def test_the_jobs_of_a_store_are_told_step_by_step(self, bench: Bench, ending: str) -> None:
        crowd = Crowd(bench.store, None)
        bench.add(queue="mail")
        assert names(crowd.look()) == ["JobEnqueued"]
        row = bench.take()
        assert names(crowd.look()) == ["JobStarted"]
        work(bench, row, "one", "two")
        assert names(crowd.look()) == ["JobLogged", "JobLogged", "JobProgress"]
        assert names(crowd.look()) == []
        bench.end(ending, row)
        assert names(crowd.look()) == [ENDS[ending]]
        assert names(crowd.look()) == []

    @pytest.mark.parametrize("ending", ENDS)
    def test_a_job_that_ends_between_two_looks_is_told_whole(self, bench: Bench, ending: str) -> None:
        before = bench.add()
        crowd = Crowd(bench.store, None)
        first = bench.take()
        assert first.id == before
        bench.end(ending, first)
        bench.add(due=bench.now - HOUR)
        row = bench.take()
        work(bench, row, "one")
        bench.end(ending, row)
        assert sorted(names(crowd.look())) == sorted(
            ["JobEnqueued", "JobStarted", "JobLogged", "JobProgress", ENDS[ending], "JobStarted", ENDS[ending]]
        )

    def test_every_end_of_many_jobs_is_told_once(self, bench: Bench) -> None:
        bench.add_some(300)
        crowd = Crowd(bench.store, None)
        told: list[str] = []
        for _ in range(4):
            bench.add_some(100)
            for number, row in enumerate(bench.claim(limit=150)):
                bench.end("completed" if number % 3 else "dead", row)
            bench.later(1)
            told += names(crowd.look())
        told += names(crowd.look())
        assert told.count("JobEnqueued") == 400
        assert (told.count("JobStarted"), told.count("JobCompleted"), told.count("JobDead")) == (600, 400, 200)

    def test_only_the_queue_that_is_followed_is_told(self, bench: Bench) -> None:
        crowd = Crowd(bench.store, "mail")
        bench.add(queue="mail")
        bench.add(queue="other")
        for row in bench.claim():
            bench.end("completed", row)
        assert names(crowd.look()) == ["JobEnqueued", "JobStarted", "JobCompleted"]

    def test_what_was_there_before_is_not_told(self, bench: Bench) -> None:
        for state in JobState:
            bench.bring(state)
        assert names(Crowd(bench.store, None).look()) == []

    def test_what_anybody_does_to_jobs_that_wait_is_told(self, bench: Bench) -> None:
        ids = bench.add_some(3, delay=HOUR)
        crowd = Crowd(bench.store, None)
        bench.cancel(ids[0])
        bench.store.delete([ids[1]], DELETABLE)
        bench.store.reschedule([ids[2]], RESCHEDULABLE, due=bench.now)
        assert sorted(names(crowd.look())) == ["JobCancelled", "JobDeleted", "JobDue"]

    def test_a_lost_lease_of_one_of_many_is_told(self, bench: Bench) -> None:
        bench.add(max_crashes=1)
        crowd = Crowd(bench.store, None)
        row = bench.take()
        crowd.look()
        bench.lose(row)
        assert names(crowd.look()) == ["LeaseLost", "JobDead"]
        assert bench.store.expire() == 0
        bench.later(KEPT / 1e6 + 1)
        assert bench.store.expire() == 1
        assert names(crowd.look()) == []
