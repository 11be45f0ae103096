"""Jobs run, in each of the three runners, with what a handler is promised."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    JobState,
    Millrace,
    Worker,
)
from tests.worker.childtasks import apid, pid
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event


@dataclass
class Point:
    x: int
    y: int


def test_a_sync_handler_runs_in_a_thread_and_its_result_is_stored(app: Millrace, hire: Hire) -> None:
    @app.task
    def add(a: int, b: int = 10) -> dict[str, object]:
        return {"sum": a + b, "thread": threading.current_thread() is not threading.main_thread()}

    hire(app)

    assert app.result(add.enqueue(2), timeout=PATIENCE) == {"sum": 12, "thread": True}


def test_an_async_handler_runs_on_one_event_loop_shared_by_all(app: Millrace, hire: Hire) -> None:
    @app.task
    async def which() -> int:
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop())

    hire(app)
    jobs = [which.enqueue() for _ in range(5)]

    assert len({app.result(job, timeout=PATIENCE) for job in jobs}) == 1


def test_typed_arguments_come_back_as_their_types(app: Millrace, hire: Hire) -> None:
    @app.task
    def move(point: Point, by: UUID, *, path: Path) -> str:
        return f"{point.x + point.y} {by.hex[:4]} {path.suffix}"

    hire(app)
    job = move.enqueue(Point(1, 2), UUID(int=0), path=Path("a.txt"))

    assert app.result(job, timeout=PATIENCE) == "3 0000 .txt"


def test_many_async_handlers_wait_at_once(app: Millrace, hire: Hire) -> None:
    """Fifty that wait for each other can only end together."""
    barrier: list[asyncio.Event] = []
    count = 0

    @app.task
    async def meet() -> int:
        nonlocal count
        if not barrier:
            barrier.append(asyncio.Event())
        count += 1
        if count == 50:
            barrier[0].set()
        await barrier[0].wait()
        return count

    hire(app, concurrency=50)
    jobs = app.enqueue_many([meet.job() for _ in range(50)])

    assert [app.result(job, timeout=PATIENCE) for job in jobs] == [50] * 50


def test_many_sync_handlers_wait_at_once(app: Millrace, hire: Hire) -> None:
    barrier = threading.Barrier(10)

    @app.task
    def meet() -> bool:
        barrier.wait(PATIENCE)
        return True

    hire(app, concurrency=10)
    jobs = app.enqueue_many([meet.job() for _ in range(10)])

    assert all(app.result(job, timeout=PATIENCE) for job in jobs)


def test_never_more_run_at_once_than_there_are_slots_over_all_runners(app: Millrace, hire: Hire) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def enter(step: int) -> None:
        nonlocal now, most
        with lock:
            now += step
            most = max(most, now)

    @app.task
    def sync() -> None:
        enter(1)
        threading.Event().wait(0.001)
        enter(-1)

    @app.task
    async def on_loop() -> None:
        enter(1)
        await asyncio.sleep(0.001)
        enter(-1)

    jobs = app.enqueue_many([task.job() for _ in range(100) for task in (sync, on_loop)])
    hire(app, concurrency=3)

    for job in jobs:
        app.wait(job, timeout=PATIENCE)
    assert app.counts()[JobState.COMPLETED] == 200
    assert most == 3


def test_two_runners_share_the_slots_and_none_starves(app: Millrace, hire: Hire) -> None:
    """One slot, a flood of sync jobs before a single async one: it gets its turn long before the flood is over."""
    ran: list[str] = []
    enough = threading.Event()

    @app.task
    def flood() -> None:
        ran.append("sync")
        threading.Event().wait(0.003)

    @app.task
    async def drop() -> None:
        ran.append("async")
        enough.set()

    app.enqueue_many([flood.using(queue="a").job() for _ in range(300)])
    drop.using(queue="b").enqueue()
    hire(app, concurrency=1)

    await_event(enough)
    assert len(ran) < 250


def test_a_worker_claims_only_its_queues_and_tasks(app: Millrace, hire: Hire) -> None:
    @app.task
    def here() -> None: ...

    @app.task
    def elsewhere() -> None: ...

    left = [here.using(queue="other").enqueue(), elsewhere.enqueue()]
    worker = hire(app, queues=["default"], tasks=[here.name])

    assert here.enqueue().wait(PATIENCE).state == "completed"
    assert worker.notices.idle.wait(worker.notices.idle.count + 1)
    assert [job.refresh().state for job in left] == ["pending", "pending"]


@pytest.mark.filterwarnings("ignore:this app has no task")
def test_a_task_registered_while_the_worker_runs_is_picked_up(app: Millrace, hire: Hire) -> None:
    worker = hire(app)
    assert worker.notices.swept.wait()
    job = app.enqueue(app_job("late"))

    @app.task(name="late")
    def late() -> str:
        return "found"

    assert job.wait(PATIENCE).result == "found"


def app_job(name: str) -> Any:
    from millrace import NewJob

    return NewJob(name)


@pytest.mark.filterwarnings("ignore:this app has no task")
def test_a_job_of_an_unknown_task_stays_where_it_is(memory_app: Millrace, hire: Hire) -> None:
    app = memory_app

    @app.task
    def known() -> None: ...

    job = app.enqueue(app_job("os.system"))
    hire(app)

    known.enqueue().wait(PATIENCE)
    assert job.refresh().state == "pending"


def test_a_delayed_job_is_started_when_it_is_due(app: Millrace, hire: Hire) -> None:
    @app.task
    def later() -> None: ...

    worker = hire(app)
    assert worker.notices.idle.wait()
    job = later.using(delay=0.3).enqueue()

    job = job.wait(PATIENCE)
    assert job.started_at is not None
    assert job.scheduled_at is not None
    assert job.started_at >= job.scheduled_at


# -- child processes


def test_a_child_process_is_used_again(process_app: Millrace, hire: Hire) -> None:
    import os

    hire(process_app, concurrency=1)
    jobs = process_app.enqueue_many([task.job() for task in (pid, apid, pid)])
    pids = {process_app.result(job, timeout=PATIENCE) for job in jobs}

    assert len(pids) == 1
    assert os.getpid() not in pids


def test_the_summary_tells_what_was_done(app: Millrace) -> None:
    @app.task(max_attempts=1)
    def divide(by: int) -> float:
        return 1 / by

    app.enqueue_many([divide.job(number) for number in range(5)])
    worker = Worker(app, burst=True)

    assert worker.run() == 0

    assert {kind.value: number for kind, number in worker.summary.outcomes.items()} == {"completed": 4, "dead": 1}
    assert worker.summary.attempts == 5
    assert worker.summary.rate > 0
    assert str(worker.summary).startswith("4 completed, 1 dead in ") or "1 dead, 4 completed" in str(worker.summary)
