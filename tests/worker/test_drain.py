"""Draining in one's own thread: the worker's way of a job, without its threads."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from millrace import Backoff, ConfigurationError, JobContext, JobState, Millrace, Snooze, current_job
from millrace.worker import adrain, drain
from tests.worker.childtasks import leave, pid
from tests.worker.waiting import eventually


def test_all_that_is_due_is_run_in_this_thread(app: Millrace) -> None:
    threads: set[int] = set()

    @app.task
    def sync() -> None:
        threads.add(threading.get_ident())

    @app.task
    async def on_loop() -> None:
        await asyncio.sleep(0)
        threads.add(threading.get_ident())

    app.enqueue_many([task.job() for _ in range(20) for task in (sync, on_loop)])
    later = sync.using(delay=3600).enqueue()

    assert drain(app) == {JobState.COMPLETED: 40}
    assert threads == {threading.get_ident()}
    assert later.refresh().state == "scheduled"
    assert drain(app) == {}
    assert drain(app)[JobState.DEAD] == 0


def test_what_jobs_enqueue_is_drained_too(app: Millrace) -> None:
    @app.task
    def down(number: int) -> None:
        if number:
            down.enqueue(number - 1)

    down.enqueue(5)

    assert drain(app) == {JobState.COMPLETED: 6}


def test_retries_that_are_due_are_included_and_each_job_counts_once(app: Millrace) -> None:
    @app.task(retry=Backoff.fixed(0), max_attempts=4)
    def third_time() -> None:
        if current_job().attempt < 3:
            raise ValueError("not yet")

    @app.task(retry=Backoff.fixed(0), max_attempts=2)
    def never() -> None:
        raise ValueError("never")

    @app.task(retry=Backoff.fixed(3600))
    def much_later() -> None:
        raise ValueError("later")

    @app.task
    def snooze() -> None:
        raise Snooze(3600)

    for task in (third_time, never, much_later, snooze):
        task.enqueue()

    assert drain(app) == {
        JobState.COMPLETED: 1,
        JobState.DEAD: 1,
        JobState.FAILED: 1,
        JobState.SCHEDULED: 1,
    }


def test_only_the_queues_named_are_drained(app: Millrace) -> None:
    @app.task
    def work() -> None: ...

    jobs = {queue: work.using(queue=queue).enqueue() for queue in ("a", "b", "c")}

    assert drain(app, queues=["a", "c"]) == {JobState.COMPLETED: 2}
    assert jobs["b"].refresh().state == "pending"


def test_a_text_as_queues_is_refused(memory_app: Millrace) -> None:
    with pytest.raises(ConfigurationError, match="is a list of names"):
        drain(memory_app, queues="mail")


def test_a_paused_queue_is_left_alone(app: Millrace) -> None:
    @app.task
    def work() -> None: ...

    job = work.enqueue()
    app.pause("default")

    assert drain(app) == {}
    assert job.refresh().state == "pending"


def test_lost_leases_are_taken_back_first(app: Millrace) -> None:
    @app.task
    def work() -> None: ...

    work.enqueue()
    (claimed,) = app.claim(lease=0.001)
    eventually(lambda: app.store.now() > (claimed.row.lease or 0) + 1)

    assert drain(app) == {JobState.COMPLETED: 1}
    assert claimed.refresh().crashes == 1


def test_jobs_run_in_order(app: Millrace) -> None:
    ran: list[int] = []

    @app.task
    def work(number: int) -> None:
        ran.append(number)

    app.enqueue_many([work.job(number) for number in range(300)])
    work.using(priority=1).enqueue(-1)
    drain(app)

    assert ran == [-1, *range(300)]


def test_a_timeout_holds_for_async_and_sync_handlers(app: Millrace) -> None:
    @app.task(timeout=0.1, max_attempts=1)
    async def endless() -> None:
        await asyncio.Event().wait()

    @app.task(timeout=0.1, max_attempts=1)
    def late(context: JobContext) -> None:
        eventually(lambda: context.cancelled)

    jobs = [endless.enqueue(), late.enqueue()]

    assert drain(app) == {JobState.DEAD: 2}
    assert [job.refresh().reason for job in jobs] == ["timeout", "timeout"]


def test_a_long_job_keeps_its_lease_while_it_is_drained(app: Millrace) -> None:
    @app.task(lease=0.4)
    def long() -> None:
        first = app.get(current_job().job).lease_expires_at
        eventually(lambda: app.get(current_job().job).lease_expires_at != first)

    job = long.enqueue()

    assert drain(app) == {JobState.COMPLETED: 1}
    assert job.refresh().crashes == 0


def test_handlers_of_child_processes_are_drained_in_one(children: Millrace) -> None:
    jobs = [pid.enqueue(), leave.enqueue(3), pid.enqueue()]

    assert drain(children) == {JobState.COMPLETED: 2, JobState.DEAD: 1}
    assert jobs[1].refresh().error is not None
    assert os.getpid() not in {job.refresh().result for job in jobs[::2]}


def test_a_job_that_must_run_alone_runs_after_those_claimed_with_it_were_given_back(app: Millrace) -> None:
    states: list[str] = []

    @app.task(max_crashes=2)
    def work(number: int) -> None:
        if number == 50:
            states.extend(job.state.value for job in app.iter() if job.id != current_job().job.id)

    jobs = app.enqueue_many([work.job(number) for number in range(100)])
    lose_lease_of(app, jobs[50])

    assert drain(app) == {JobState.COMPLETED: 100}
    assert "running" not in states
    assert len(states) == 99


def lose_lease_of(app: Millrace, job: Any) -> None:
    """Let this one job lose a lease, and no other."""
    for each in app.claim(limit=100):
        if each.id != job.id:
            app.release(each)
    app.store.rescue(retention=None, dead_retention=None, now=app.store.now() + 3_600_000_000)


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt; a shell that runs the suite in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_a_handlers_keyboard_interrupt_fails_its_attempt_and_a_real_one_ends_the_drain(memory_app: Millrace) -> None:
    app = memory_app

    @app.task(max_attempts=1)
    def raise_it() -> None:
        raise KeyboardInterrupt

    @app.task
    def press_it() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(10)

    failed, interrupted, left = raise_it.enqueue(), press_it.enqueue(), raise_it.enqueue()
    with pytest.raises(KeyboardInterrupt):
        drain(app)

    assert failed.refresh().state == "dead"
    assert (interrupted.refresh().state, interrupted.refresh().attempt) == ("pending", 0)
    assert (left.refresh().state, left.refresh().attempt) == ("pending", 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_inside_a_running_loop_async_handlers_are_drained_on_another_threads_loop(memory_app: Millrace) -> None:
    @memory_app.task
    async def work() -> str:
        await asyncio.sleep(0)
        return "ran"

    job = work.enqueue()

    async def inside() -> dict[JobState, int]:
        return drain(memory_app)

    assert asyncio.run(inside()) == {JobState.COMPLETED: 1}
    assert job.refresh().result == "ran"


# -- the awaitable twin


def test_adrain_runs_async_handlers_on_this_loop_and_sync_ones_beside_it(app: Millrace) -> None:
    async def main() -> None:
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        seen: list[bool] = []

        @app.task
        async def on_loop() -> None:
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop() is loop)

        @app.task
        def sync() -> None:
            seen.append(threading.get_ident() != thread)

        await app.aio.enqueue_many([task.job() for _ in range(10) for task in (on_loop, sync)])
        assert await adrain(app) == {JobState.COMPLETED: 20}
        assert seen == [True] * 20

    asyncio.run(main())


def test_adrain_does_not_stop_the_loop_while_a_handler_waits(memory_app: Millrace) -> None:
    async def main() -> None:
        go = asyncio.Event()

        @memory_app.task
        async def wait_for_it() -> str:
            await go.wait()
            return "went"

        job = await wait_for_it.aenqueue()
        draining = asyncio.create_task(adrain(memory_app))
        await asyncio.sleep(0)
        go.set()
        assert await draining == {JobState.COMPLETED: 1}
        assert (await memory_app.aio.get(job)).result == "went"

    asyncio.run(main())


def test_a_cancelled_adrain_gives_back_what_it_holds(memory_app: Millrace) -> None:
    async def main() -> None:
        began = asyncio.Event()

        @memory_app.task
        async def endless() -> None:
            began.set()
            await asyncio.Event().wait()

        jobs = [await endless.aenqueue() for _ in range(3)]
        draining = asyncio.create_task(adrain(memory_app))
        await began.wait()
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        found = [await memory_app.aio.get(job) for job in jobs]
        assert [(job.state, job.attempt) for job in found] == [("pending", 0)] * 3

    asyncio.run(main())


def test_adrain_times_out_async_handlers(memory_app: Millrace) -> None:
    async def main() -> None:
        @memory_app.task(timeout=0.1, max_attempts=1)
        async def endless() -> None:
            await asyncio.Event().wait()

        job = await endless.aenqueue()
        assert await adrain(memory_app) == {JobState.DEAD: 1}
        assert (await memory_app.aio.get(job)).reason == "timeout"

    asyncio.run(main())
