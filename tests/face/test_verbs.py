from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from millrace import (
    ConfigurationError,
    DuplicateJob,
    InvalidTransition,
    Job,
    JobNotFound,
    JobState,
    Millrace,
    PayloadError,
    Rate,
)
from millrace.clock import SECOND
from millrace.states import FINAL, LIVE
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing.clock import ManualClock

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Store:
    return SQLiteStore(tmp_path / "jobs.db", clock=clock) if request.param == "sqlite" else MemoryStore(clock=clock)


@pytest.fixture
def app(store: Store) -> Iterator[Millrace]:
    with Millrace(store) as app:
        app.task(name="add", max_attempts=2)(add)
        yield app


def add(a: int, b: int = 1) -> int:
    return a + b


def put(app: Millrace, **options: Any) -> Job[Any]:
    from millrace import NewJob

    return app.enqueue(NewJob("add", {"a": 1}, **options))


def in_state(app: Millrace, state: JobState) -> Job[Any]:
    """Make a job of a state by the verbs themselves; no other is due meanwhile."""
    if state == "scheduled":
        return put(app, delay=60)
    job = put(app)
    match state:
        case JobState.CANCELLED:
            app.cancel(job)
        case JobState.RUNNING | JobState.CANCELLING | JobState.COMPLETED | JobState.FAILED | JobState.DEAD:
            claimed = next(each for each in app.claim(10) if each.id == job.id)
            if state is JobState.CANCELLING:
                app.cancel(claimed)
            elif state is JobState.COMPLETED:
                app.complete(claimed, 5)
            elif state in {JobState.FAILED, JobState.DEAD}:
                app.fail(claimed, ValueError("no"), retry_in=60)
                if state is JobState.DEAD:
                    app.reschedule(claimed, run_at=datetime.fromtimestamp(0, UTC))
                    app.fail(app.claim()[0], ValueError("no"))
        case _:
            pass
    assert app.get(job).state == state
    return app.get(job)


def one_of_each_state(app: Millrace) -> None:
    for state in sorted(JobState, key=lambda state: state == "pending"):  # last, or it would be claimed
        in_state(app, state)


def test_an_unknown_id_is_told_and_a_wrong_one_refused(app: Millrace) -> None:
    verbs = (app.get, app.cancel, app.retry, app.delete, app.logs, app.attempts, app.wait, app.result)
    for verb in verbs:
        anything: Any = verb
        with pytest.raises(JobNotFound, match=r"no job .* in (memory|sqlite):.*: it never was"):
            anything(uuid4())
        with pytest.raises(ConfigurationError, match="'seven' is not a job id"):
            anything("seven")
    with pytest.raises(JobNotFound):
        app.reschedule(uuid4(), run_at=LATER)


@pytest.mark.parametrize("state", list(JobState))
def test_cancel_by_state(app: Millrace, state: JobState) -> None:
    job = in_state(app, state)

    after = app.cancel(job)

    if state in ("running", "cancelling"):
        assert after.state == "cancelling"
    elif state in FINAL:
        assert after == job
    else:
        assert (after.state, after.reason) == ("cancelled", "cancelled")


@pytest.mark.parametrize("state", list(JobState))
def test_retry_by_state(app: Millrace, state: JobState) -> None:
    job = in_state(app, state)

    if state in FINAL | {JobState.FAILED}:
        after = app.retry(job, {"a": 9})
        assert (after.state, after.attempt, after.error, after.result) == ("pending", 0, None, None)
        assert after.args == {"a": 9}
    else:
        with pytest.raises(InvalidTransition, match=f"job {job.id} is {state} and retry does not apply"):
            app.retry(job)
        assert app.get(job) == job


@pytest.mark.parametrize("state", list(JobState))
def test_reschedule_by_state(app: Millrace, state: JobState) -> None:
    job = in_state(app, state)

    if state in ("scheduled", "pending", "failed"):
        assert app.reschedule(job, run_at=LATER).scheduled_at == LATER
        assert app.reschedule(job.id, run_at=datetime(2020, 1, 1, tzinfo=UTC)).state == "pending"
    else:
        with pytest.raises(
            InvalidTransition, match=f"is {state} and reschedule does not apply: it takes jobs that wait"
        ):
            app.reschedule(job, run_at=LATER)


@pytest.mark.parametrize("state", list(JobState))
def test_delete_by_state(app: Millrace, state: JobState) -> None:
    job = in_state(app, state)

    if state in ("running", "cancelling"):
        with pytest.raises(InvalidTransition, match="it takes jobs that do not run; cancel it first"):
            app.delete(job)
    else:
        assert app.delete(job) == job
        with pytest.raises(JobNotFound):
            app.get(job)


def test_a_retry_that_meets_its_unique_key_names_the_holder(app: Millrace) -> None:
    job = app.cancel(put(app, unique_key="k"))
    holder = put(app, unique_key="k")

    with pytest.raises(DuplicateJob, match=rf"job {holder.id} \(pending\) holds its unique key 'k'") as caught:
        app.retry(job)

    assert caught.value.job == holder


def test_new_arguments_of_a_retry_are_checked(app: Millrace) -> None:
    job = app.cancel(put(app))

    with pytest.raises(PayloadError, match="add"):
        app.retry(job, {"a": "one"})
    assert app.get(job).state == "cancelled"


@pytest.mark.parametrize(
    ("run_at", "message"),
    [(datetime(2100, 1, 1), "no timezone"), (None, "is not a datetime"), (5, "is not a datetime")],  # noqa: DTZ001
)
def test_a_time_that_is_none_is_refused(app: Millrace, run_at: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app.reschedule(put(app), run_at=run_at)


def test_a_cancelled_job_is_kept_as_long_as_its_task_says(app: Millrace, clock: ManualClock) -> None:
    from millrace import NewJob

    app.task(name="brief", retention=5)(add)
    brief, long = app.enqueue(NewJob("brief", {"a": 1})), put(app)
    more = app.enqueue(NewJob("brief", {"a": 1}))
    app.cancel(brief)
    app.cancel(long)
    app.cancel_all()

    clock.advance(10)
    app.store.expire()

    assert [job.id for job in app.iter()] == [long.id]
    with pytest.raises(JobNotFound):
        app.get(more)


def test_lists_are_filtered_paged_and_iterated(app: Millrace) -> None:
    jobs = [put(app, queue=f"q{number % 2}", tags=[f"t{number % 3}"]) for number in range(7)]
    keyed = put(app, unique_key="k")
    cancelled = app.cancel(jobs[0])

    assert [job.id for job in app.list()] == [job.id for job in reversed([*jobs, keyed])]
    assert app.list(state="cancelled").jobs == [cancelled]
    assert len(app.list(state=[JobState.PENDING, "cancelled"])) == 8
    assert {job.id for job in app.list(queue="q1", tag="t1")} == {jobs[1].id}
    assert app.list(unique_key="k").jobs == [keyed]
    assert app.list(task="other").jobs == []
    first = app.list(limit=3)
    assert (len(first), first.next_cursor is None) == (3, False)
    assert app.list(limit=3, cursor=first.next_cursor).jobs[0].id == jobs[4].id
    assert [job.id for job in app.iter(queue="q1")] == [jobs[5].id, jobs[3].id, jobs[1].id]


def test_iterating_goes_over_many_pages(app: Millrace) -> None:
    from millrace import NewJob

    jobs = app.enqueue_many([NewJob("add", {"a": number}) for number in range(450)])

    assert [job.id for job in app.iter()] == [job.id for job in reversed(jobs)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "lost"}, "'lost' is not a valid JobState; the states are scheduled"),
        ({"state": 3}, "not a valid JobState"),
        ({"limit": 0}, "limit 0"),
        ({"limit": 1001}, "limit 1001"),
        ({"queue": ""}, "queue ''"),
        ({"cursor": 5}, "cursor 5 is not text"),
    ],
)
def test_a_filter_that_is_not_acceptable_is_refused(app: Millrace, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app.list(**options)


def test_counts_and_depth(app: Millrace) -> None:
    one_of_each_state(app)
    paused = put(app, queue="other")
    app.pause("other")

    assert app.counts("default") == dict.fromkeys(JobState, 1)
    assert app.counts(exact=False)[JobState.PENDING] == 2
    assert (app.depth("default"), app.depth("other"), app.depth()) == (1, 1, 2)
    assert paused.refresh().state == "pending"


def test_verbs_over_all_that_match_return_how_many(app: Millrace) -> None:
    one_of_each_state(app)
    number = len(JobState)

    assert app.retry_all(queue="other") == 0
    assert app.retry_all() == 1  # the dead one
    assert app.retry_all(state=["completed", "running"]) == 1
    assert app.cancel_all(error="KeyError") == 0
    assert app.cancel_all(state=["failed"], error="ValueError") == 1
    assert app.delete_all(state=list(JobState), tag="x") == 0
    assert app.cancel_all() == 5  # scheduled, three pending, running
    assert app.delete_all(state=list(JobState), task="add") == number - 2
    assert app.counts()[JobState.CANCELLING] == 2


def test_all_that_match_are_retried_with_some_arguments_changed(app: Millrace) -> None:
    from millrace import NewJob, PayloadError

    first, second = app.enqueue_many([NewJob("add", {"a": 1, "b": 2}), NewJob("add", {"a": 3})])
    app.cancel_all()
    with pytest.raises(PayloadError, match="`int`, got `str`") as refused:
        app.retry_all(state="cancelled", args={"b": "two"})
    with pytest.raises(PayloadError, match="args=5 is no dict of arguments"):
        app.retry_all(state="cancelled", args=cast("Any", 5))
    assert app.counts()[JobState.CANCELLED] == 2
    assert "0 jobs were retried before it" in refused.value.__notes__
    assert app.retry_all(state="cancelled", args={"b": 7}) == 2
    assert (first.refresh().args, second.refresh().args) == ({"a": 1, "b": 7}, {"a": 3, "b": 7})


def test_verbs_over_all_go_beyond_one_page(app: Millrace) -> None:
    from millrace import NewJob

    app.enqueue_many([NewJob("add", {"a": number}) for number in range(1101)])

    assert app.cancel_all() == 1101
    assert app.retry_all(state=None) == 1101
    assert app.delete_all(state="pending") == 1101


def test_delete_all_wants_its_states_named(app: Millrace) -> None:
    anything: Any = app.delete_all

    with pytest.raises(TypeError, match="state"):
        anything()
    with pytest.raises(ConfigurationError, match="would delete everything"):
        anything(state=None)


def test_purge_deletes_what_finished_before(app: Millrace, clock: ManualClock) -> None:
    old = [in_state(app, state) for state in FINAL]
    clock.advance(100)
    new = [in_state(app, state) for state in FINAL]

    assert app.purge(older_than=50) == 2
    assert app.purge(older_than=timedelta(seconds=50), states="dead") == 1
    assert app.purge(datetime.fromtimestamp(clock.now() / SECOND - 50, UTC), states=FINAL) == 0
    assert {job.id for job in app.iter()} == {job.id for job in new}
    assert not {job.id for job in old} & {job.id for job in new}


def test_purge_takes_ended_jobs_only(app: Millrace) -> None:
    with pytest.raises(ConfigurationError, match="ended jobs only, not running"):
        app.purge(older_than=1, states=["running", "dead"])
    with pytest.raises(ConfigurationError, match="older_than -1 is negative"):
        app.purge(older_than=-1)
    with pytest.raises(ConfigurationError, match="no timezone"):
        app.purge(older_than=datetime(2020, 1, 1))  # noqa: DTZ001


def test_queues_are_set_paused_and_told(app: Millrace) -> None:
    app.set_queue("mail", priority=5, concurrency=2)
    app.pause("mail")
    put(app, queue="mail")

    (mail,) = [queue for queue in app.queues() if queue.name == "mail"]

    assert (mail.priority, mail.concurrency, mail.paused, mail.counts[JobState.PENDING]) == (5, 2, True, 1)
    assert app.claim(queues=["mail"]) == []
    app.set_queue("mail")
    assert app.claim(queues=["mail"]) == []  # what is paused stays so unless it is told otherwise
    app.resume("mail")
    assert len(app.claim(queues=["mail"])) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rate": "100/y"}, ConfigurationError, "rate '100/y' cannot be read; give such as"),
        ({"rate": 100}, ConfigurationError, "rate 100 is no rate"),
        ({"rate": Rate(1, key="{a}")}, ConfigurationError, "has a key, which a queue cannot fill"),
        ({"concurrency": 0}, ConfigurationError, "concurrency 0"),
        ({"priority": 99999}, ConfigurationError, "priority 99999"),
    ],
)
def test_a_setting_that_is_not_acceptable_is_refused(
    app: Millrace, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        app.set_queue("mail", **options)


def test_attempts_and_logs_of_a_job(app: Millrace) -> None:
    job = in_state(app, JobState.DEAD)

    first, second = app.attempts(job)

    assert (first.outcome, first.error, second.outcome, second.attempt) == ("failed", "ValueError: no", "dead", 2)
    assert app.logs(job) == []
    assert app.workers() == []


def test_every_state_was_reached() -> None:
    assert set(JobState) == LIVE | FINAL
