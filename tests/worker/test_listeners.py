"""Listeners of a worker: told after the write, in a thread of their own, of what is true, whatever they do."""

# ruff: noqa: ARG001 - listeners take what they are told

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace import Millrace, current_job
from millrace.errors import StoreUnavailable
from millrace.events import (
    AttemptFailed,
    AttemptLost,
    Event,
    JobCancelled,
    JobCompleted,
    JobEnqueued,
    JobEvent,
    JobLogged,
    JobReleased,
    JobStarted,
    WorkerEvent,
    WorkerStarted,
    WorkerStopped,
)
from millrace.hooks import Hooks
from millrace.worker import announcer
from millrace.worker.announcer import Announcer
from millrace.worker.floor import Floor
from millrace.worker.notice import Notices
from tests.worker import childtasks
from tests.worker.conftest import Hire
from tests.worker.stages import Stage
from tests.worker.waiting import PATIENCE, await_event, eventually


def test_each_attempt_is_told_once_it_is_written(app: Millrace, hire: Hire) -> None:
    told: dict[Any, list[str]] = {}

    @app.on(JobStarted | JobCompleted)
    def note(event: JobEvent) -> None:
        state = app.get(event.job_id).state
        if isinstance(event, JobCompleted):
            assert state == "completed"
        told.setdefault(event.job_id, []).append(type(event).__name__)

    @app.task
    async def awaited() -> None: ...

    hire(app, concurrency=4)
    ping = app.task(name="ping")(lambda: None)
    jobs = app.enqueue_many([task.job() for task in (ping, awaited) for _ in range(50)])

    eventually(lambda: sum(len(each) for each in told.values()) == 200)
    assert {job.id for job in jobs} == told.keys()
    assert {("JobStarted", "JobCompleted")} == {tuple(each) for each in told.values()}


def test_a_slow_listener_holds_up_no_job(app: Millrace, hire: Hire) -> None:
    go = threading.Event()
    told: list[JobCompleted] = []

    @app.on(JobCompleted)
    def slow(event: JobCompleted) -> None:
        assert go.wait(PATIENCE)
        told.append(event)

    worker = hire(app)
    ping = app.task(name="ping")(lambda: None)
    jobs = app.enqueue_many([ping.job() for _ in range(20)])
    for job in jobs:
        job.wait(PATIENCE)
    assert told == []
    go.set()
    worker.stop()

    assert len(told) == 20  # a stop waits for them


def test_a_listener_that_fails_or_exits_is_logged_and_the_next_is_told(
    memory_app: Millrace, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Event] = []

    @memory_app.on(JobStarted)
    def broken(event: JobStarted) -> None:
        raise SystemExit(3)

    @memory_app.on(JobCompleted)
    async def awaited(event: JobCompleted) -> None:
        await asyncio.sleep(0)
        told.append(event)
        raise ValueError("oh")

    worker = hire(memory_app)
    ping = memory_app.task(name="ping")(lambda: None)
    for _ in range(2):
        ping.enqueue().wait(PATIENCE)
    worker.stop()

    assert len(told) == 2
    assert "broken failed when it was told JobStarted" in caplog.text
    assert "awaited failed when it was told JobCompleted" in caplog.text


def test_async_listeners_of_a_worker_share_one_loop(memory_app: Millrace, hire: Hire) -> None:
    loops: list[object] = []

    @memory_app.on(JobCompleted)
    async def note(event: JobCompleted) -> None:
        loops.append(asyncio.get_running_loop())

    worker = hire(memory_app)
    ping = memory_app.task(name="ping")(lambda: None)
    for _ in range(2):
        ping.enqueue().wait(PATIENCE)
    worker.stop()

    assert loops[0] is loops[1]


def test_a_worker_tells_its_start_and_its_stop(memory_app: Millrace, hire: Hire) -> None:
    told: list[WorkerEvent] = []
    memory_app.on(WorkerEvent)(told.append)
    worker = hire(memory_app)
    name = worker.id
    worker.stop()

    assert [type(event) for event in told] == [WorkerStarted, WorkerStopped]
    assert {name} == {event.worker for event in told}


def test_an_outcome_that_is_refused_is_told_as_lost(staged: Millrace, stage: Stage) -> None:
    told: list[JobEvent] = []
    staged.on(JobCompleted | AttemptLost)(told.append)

    @staged.task
    def lose() -> None:
        row = current_job().job.row
        if row.claim == 1:
            stage.inner.rescue(retention=None, dead_retention=None, now=(row.lease or 0) + 1)

    lose.enqueue()
    staged.drain()

    assert [type(event) for event in told] == [AttemptLost, JobCompleted]
    assert [event.claim for event in told] == [1, 2]


def test_nothing_is_told_while_the_store_has_not_taken_the_outcome(staged: Millrace, stage: Stage, hire: Hire) -> None:
    told: list[JobEvent] = []
    begun = threading.Event()
    staged.on(JobCompleted)(told.append)
    away = threading.Event()

    def broken(verb: str) -> BaseException | None:
        return StoreUnavailable("the disk is full") if away.is_set() and verb == "step" else None

    stage.broken = broken

    @staged.task
    def work() -> None:
        away.set()
        begun.set()

    worker = hire(staged)
    job = work.enqueue()
    await_event(begun)
    assert worker.notices.outages.wait(1, PATIENCE)
    assert told == []
    away.clear()
    job.wait(PATIENCE)

    eventually(lambda: len(told) == 1)


def test_a_cancel_that_wins_over_a_failure_is_told_as_a_cancel(app: Millrace) -> None:
    told: list[JobEvent] = []
    app.on(AttemptFailed | JobCancelled)(told.append)

    @app.task
    def fail() -> None:
        app.cancel(current_job().job)
        raise ValueError("no")

    fail.enqueue()
    app.drain()

    (event,) = told
    assert isinstance(event, JobCancelled)
    assert event.error == "ValueError: no"


def test_a_child_process_tells_its_lines_and_its_end(children: Millrace, hire: Hire) -> None:
    told: list[JobEvent] = []
    children.on(JobLogged | JobCompleted)(told.append)
    hire(children, concurrency=1)
    job = childtasks.everything.enqueue(Path("a.txt")).wait(PATIENCE)

    eventually(lambda: len([event for event in told if event.job_id == job.id]) == 2)
    assert [JobLogged, JobCompleted] == [type(event) for event in told if event.job_id == job.id]


def test_a_job_that_a_stopping_worker_gives_back_is_told(app: Millrace, hire: Hire) -> None:
    told: list[JobEvent] = []
    app.on(JobReleased)(told.append)
    begun, go = threading.Event(), threading.Event()

    @app.task
    def deaf() -> None:
        begun.set()
        go.wait(PATIENCE)

    worker = hire(app)
    job = deaf.enqueue()
    await_event(begun)
    worker.stop(grace=0)
    go.set()

    assert [job.id] == [event.job_id for event in told]


@pytest.mark.parametrize("commit", [True, False])
def test_a_completion_of_ones_own_is_told_as_what_is_true(tmp_path: Path, *, commit: bool) -> None:
    path = tmp_path / "jobs.db"
    with Millrace(f"sqlite:///{path}") as app:
        told: list[Event] = []
        app.on(JobCompleted | AttemptFailed | AttemptLost)(told.append)

        @app.task
        def own() -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                current_job().complete(connection=connection)
                connection.execute("COMMIT" if commit else "ROLLBACK")

        own.enqueue()
        app.drain()

    assert [JobCompleted if commit else AttemptFailed] == [type(event) for event in told]


def test_a_listener_may_enqueue(app: Millrace, hire: Hire) -> None:
    pong = app.task(name="pong")(lambda: None)

    @app.on(JobCompleted)
    def follow(event: JobCompleted) -> None:
        if event.task == "ping":
            pong.enqueue()

    hire(app)
    app.task(name="ping")(lambda: None).enqueue()

    eventually(lambda: [job.state for job in app.list(task="pong")] == ["completed"])


def test_one_that_comes_while_a_worker_runs_hears_of_the_next_jobs(app: Millrace, hire: Hire) -> None:
    hire(app)
    ping = app.task(name="ping")(lambda: None)
    ping.enqueue().wait(PATIENCE)
    told: list[JobEvent] = []
    app.on(JobCompleted)(told.append)

    def heard() -> bool:
        ping.enqueue().wait(PATIENCE)
        return bool(told)

    eventually(heard)


def test_events_that_listeners_cannot_keep_up_with_are_dropped_and_counted(
    memory_app: Millrace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcer, "MOST_WAITING", 3)
    begun, go = threading.Event(), threading.Event()
    told: list[Event] = []
    job = memory_app.task(name="ping")(lambda: None).enqueue()
    event = JobStarted(
        at=job.created_at, job_id=job.id, task="ping", queue="default", attempt=1, claim=1, worker=None
    )  # fmt: skip

    @memory_app.on(JobStarted)
    def slow(event: JobStarted) -> None:
        told.append(event)
        begun.set()
        assert go.wait(PATIENCE)

    thread = Announcer(memory_app.hooks)
    thread.tell([event])
    await_event(begun)
    thread.tell([event, event])
    thread.tell([event])
    thread.tell([event])
    go.set()

    assert thread.close(PATIENCE)
    assert len(told) == 3
    assert "2 events were not told to listeners, which were too slow" in caplog.text


def test_a_floor_without_listeners_of_attempts_keeps_no_news(memory_app: Millrace) -> None:
    told: list[Event] = []
    memory_app.on(JobEnqueued)(told.append)
    floor = Floor(memory_app, Notices(), tasks=None, grace=1.0)
    floor.heard(floor.store.now())
    assert (floor.news, floor.notes.news) == (None, None)

    memory_app.on(JobCompleted)(told.append)
    floor.heard(floor.store.now())
    assert floor.news is floor.notes.news is not None


def test_a_thread_for_listeners_starts_with_the_first_event() -> None:
    before = threading.active_count()
    thread = Announcer(Hooks())
    assert thread.close(0.0)

    assert threading.active_count() == before
