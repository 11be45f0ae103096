"""How long a rule holds a key and what it makes of the second job, through every way by which a job comes in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from millrace import DuplicateJob, Job, JobState, Millrace, NewJob, Task, Unique
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing import ManualClock

HOUR = 3600.0
START = 1_800_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START * 1_000_000)


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Millrace]:
    store: Any = (
        SQLiteStore(tmp_path / "jobs.db", clock=clock) if request.param == "sqlite" else MemoryStore(clock=clock)
    )
    with Millrace(store) as app:
        yield app


def index(page: int, version: int = 0) -> int:
    return page + version


def task_of(app: Millrace, **rule: Any) -> Task[Any, int]:
    return app.task(name="index", unique=Unique(by=["page"], **rule))(index)


def test_until_started_a_running_job_lets_the_next_one_in(app: Millrace) -> None:
    task = task_of(app, until="started")
    first = task.enqueue(1)
    assert task.enqueue(1).id == first.id
    (running,) = app.claim()

    second = task.enqueue(1)

    assert (second.id == running.id, second.duplicate) == (False, False)
    assert task.enqueue(1).id == second.id
    app.fail(running, "ValueError: no", retry_in=5)
    assert task.enqueue(1).id == second.id
    with pytest.raises(DuplicateJob, match=f"job {second.id}"):
        app.retry(running)


def test_until_started_a_retry_takes_the_key_again(app: Millrace) -> None:
    task = task_of(app, until="started")
    job = task.enqueue(1)
    assert app.drain()[JobState.COMPLETED] == 1

    assert app.retry(job).started_at is None
    assert task.enqueue(1).id == job.id


@pytest.mark.parametrize("retention", [None, 0, 5.0])
def test_for_seconds_the_key_outlives_the_job_and_retention_is_raised_to_that(
    app: Millrace, clock: ManualClock, retention: float | None
) -> None:
    task = task_of(app, until=timedelta(hours=1))
    keeping = task if retention is None else task.using(retention=retention)
    job = keeping.enqueue(1)
    clock.advance(60)
    app.drain()

    clock.advance(3500)
    app.drain()  # which deletes what is kept no longer
    again = task.enqueue(1)
    assert (again.id, again.duplicate, again.state) == (job.id, True, "completed")
    clock.advance(41)
    assert not task.enqueue(1).duplicate


def test_a_cancelled_and_a_dead_job_are_kept_for_their_keys_too(tmp_path: Path, clock: ManualClock) -> None:
    store = SQLiteStore(tmp_path / "jobs.db", clock=clock)
    with Millrace(store, retention=0, dead_retention=0) as app:
        task = task_of(app, until=HOUR)
        app.cancel(task.enqueue(1))
        task.using(max_attempts=1).enqueue(2)
        app.fail(app.claim()[0], "ValueError: no")

        assert [task.enqueue(page).state for page in (1, 2)] == ["cancelled", "dead"]
        app.delete_all(state=["cancelled", "dead"])
        assert not task.enqueue(1).duplicate


def test_the_newest_arguments_replace_those_of_a_job_that_waits(app: Millrace) -> None:
    task = task_of(app, on_conflict="replace")
    first = task.enqueue(1, 1)

    ways: list[Callable[[], Job[Any]]] = [
        lambda: task.enqueue(1, 2),
        lambda: asyncio.run(task.aenqueue(1, 3)),
        lambda: app.enqueue(task.job(1, 4)),
        lambda: app.enqueue(NewJob("index", {"page": 1, "version": 5})),
        lambda: asyncio.run(app.aio.enqueue(task.job(1, 6))),
        lambda: app.enqueue_many([task.job(1, 0), task.job(1, 7)])[-1],
        lambda: asyncio.run(app.aio.enqueue_many([task.job(1, 8)]))[0],
    ]
    for version, way in enumerate(ways, 2):
        job = way()
        assert (job.id, job.duplicate, job.args) == (first.id, True, {"page": 1, "version": version})
    (running,) = app.claim()
    assert running.args == {"page": 1, "version": 8}
    assert task.enqueue(1, 9).args == running.args
    assert app.get(first).args == running.args


def test_a_debounce_pushes_the_job_to_the_time_of_the_last_call(app: Millrace, clock: ManualClock) -> None:
    task = task_of(app, on_conflict="debounce").using(delay=10)
    job = first = task.enqueue(1, 1)
    for version in (2, 3):
        clock.advance(9)
        job = task.enqueue(1, version)
        assert (job.id, job.duplicate) == (first.id, True)
        assert app.claim() == []
    at = datetime.fromtimestamp(START + 28, UTC)
    assert (job.scheduled_at, job.state, job.args["version"]) == (at, "scheduled", 3)

    clock.advance(10)
    assert app.drain()[JobState.COMPLETED] == 1
    assert app.result(first) == 4


def test_a_debounce_may_name_a_time_or_none(app: Millrace) -> None:
    task = task_of(app, on_conflict="debounce")
    later = datetime.fromtimestamp(START + 100, UTC)
    job = task.using(run_at=later).enqueue(1)

    assert task.enqueue(1).state == "pending"
    moved = task.using(run_at=later).enqueue(1)
    assert (moved.id, moved.state, moved.scheduled_at) == (job.id, "scheduled", later)


def test_in_one_call_policies_mix_in_order(app: Millrace) -> None:
    task = task_of(app)
    rule = Unique(by=["page"], on_conflict="replace")
    away = Unique(by=["page"], on_conflict="debounce")
    jobs = app.enqueue_many(
        [
            task.job(1, 1),
            task.using(unique=rule).job(1, 2),
            task.job(1, 3),
            task.using(unique=away, delay=60).job(1, 4),
            task.using(unique=rule).job(1, 5),
            task.job(2, 1),
        ]
    )

    assert [job.duplicate for job in jobs] == [False, True, True, True, True, False]
    assert len({job.id for job in jobs}) == 2
    held = app.get(jobs[0])
    assert (held.args["version"], held.state) == (5, "scheduled")
    assert {(job.args["version"], job.state) for job in jobs[:5]} == {(5, "scheduled")}


def test_one_that_rejects_among_many_stores_none(app: Millrace) -> None:
    task = task_of(app, until=HOUR, on_conflict="reject")
    first = task.enqueue(1)

    jobs = [task.job(2), NewJob("index", {"page": 1}), task.job(3)]
    with pytest.raises(DuplicateJob, match=str(first.id)):
        asyncio.run(app.aio.enqueue_many(jobs))
    with pytest.raises(DuplicateJob, match=str(first.id)) as caught:
        app.enqueue_many(jobs)
    assert caught.value.job is not None
    assert caught.value.job.id == first.id
    assert app.depth() == 1
    assert len(app.enqueue_many([task.job(2), task.job(3)])) == 2


def test_past_what_is_whole_a_rejection_tells_how_many_were_stored(app: Millrace) -> None:
    task = task_of(app, on_conflict="reject")
    task.enqueue(2400)

    with pytest.raises(DuplicateJob) as caught:
        app.enqueue_many([task.job(page) for page in range(2500)])
    assert caught.value.__notes__ == ["the first 2000 jobs of the call were stored"]
    assert app.depth() == 2001


def test_the_rule_of_the_holder_says_how_long_and_that_of_the_second_what_then(app: Millrace) -> None:
    task = task_of(app)
    started = task.using(unique=Unique(by=["page"], until="started", on_conflict="reject"))
    task.enqueue(1)
    app.claim()
    with pytest.raises(DuplicateJob):
        started.enqueue(1)

    job = started.enqueue(2)
    assert task.enqueue(2).id == job.id
    app.claim()
    assert not task.enqueue(2).duplicate


def test_forty_threads_of_sync_and_async_code_store_one_job(app: Millrace) -> None:
    task = task_of(app, on_conflict="replace")
    start = Barrier(40)

    def race(number: int) -> tuple[bool, Any]:
        start.wait(30)
        job = asyncio.run(task.aenqueue(1, number)) if number % 2 else task.enqueue(1, number)
        return job.duplicate, job.id

    with ThreadPoolExecutor(40) as pool:
        told = list(pool.map(race, range(40)))

    assert sum(not duplicate for duplicate, _ in told) == 1
    assert len({id for _, id in told}) == 1
    assert app.depth() == 1
    assert app.drain()[JobState.COMPLETED] == 1


def test_in_the_callers_transaction_a_holder_is_changed_with_it_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with Millrace(SQLiteStore(path)) as app:
        task = task_of(app, until="started", on_conflict="replace")
        first = task.enqueue(1, 1)
        connection = sqlite3.connect(path)

        for commits, version in ((False, 1), (True, 2)):
            connection.execute("BEGIN IMMEDIATE")
            job = task.using(connection=connection).enqueue(1, 2)
            assert (job.id, job.duplicate, job.args["version"]) == (first.id, True, 2)
            (connection.commit if commits else connection.rollback)()
            assert app.get(first).args["version"] == version

        app.claim()
        second = task.using(connection=connection).enqueue(1, 3)
        connection.rollback()
        assert app.list(unique_key=first.unique_key).jobs[0].id == first.id
        assert second.id != first.id
        assert not task.enqueue(1, 4).duplicate
        connection.close()


def test_one_that_rejects_in_the_callers_transaction_leaves_that_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with Millrace(SQLiteStore(path)) as app:
        task = task_of(app, on_conflict="reject")
        task.enqueue(1)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE orders(id INTEGER)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO orders VALUES(1)")

        with pytest.raises(DuplicateJob):
            app.enqueue_many([task.job(2), task.job(1)], connection=connection)
        with pytest.raises(DuplicateJob):
            task.using(connection=connection).enqueue(1)

        connection.commit()
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        assert app.depth() == 1
        connection.close()


def test_the_jobs_of_a_schedule_follow_the_rule_of_their_task(app: Millrace) -> None:
    task = task_of(app, until="started", on_conflict="replace")
    app.schedules.put("often", every=60, job=task.job(1, 5))
    waiting = task.enqueue(1, 1)

    ran = app.schedules.run_now("often")

    assert (ran.id, ran.duplicate, ran.args["version"]) == (waiting.id, True, 5)
    app.claim()
    assert not app.schedules.run_now("often").duplicate


@pytest.mark.parametrize("own", [False, True])
def test_middleware_that_changes_the_job_of_a_schedule_leaves_it_its_rule(app: Millrace, *, own: bool) -> None:
    rule = Unique(by=["page"], until="started", on_conflict="replace")
    plain = app.task(name="index", unique=None if own else rule)(index)
    task = plain.using(unique=rule) if own else plain
    app.schedules.put("often", every=60, job=task.job(1, 5))

    @app.middleware
    class Hurry:
        def before_enqueue(self, job: NewJob) -> NewJob:
            return job.using(priority=5)

    waiting = task.enqueue(1, 1)
    ran = app.schedules.run_now("often")
    assert (ran.id, ran.duplicate, ran.args["version"]) == (waiting.id, True, 5)
    app.claim()
    again = app.schedules.run_now("often")
    assert (again.duplicate, again.priority, again.unique_key) == (False, 5, waiting.unique_key)
    app.claim()
    assert not task.enqueue(1, 6).duplicate
