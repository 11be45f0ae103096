"""What a handler is given: its context, the same in each runner, and nothing of another job's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from millrace import ConfigurationError, JobContext, Millrace, PayloadError, Progress, current_job
from tests.worker.childtasks import everything
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event, eventually


def test_the_context_tells_the_job_and_keeps_what_it_is_told(app: Millrace, hire: Hire) -> None:
    told, go = threading.Event(), threading.Event()

    @app.task
    def tell(context: JobContext, name: str) -> str:
        assert context is current_job()
        assert (context.attempt, context.batch, context.job.args) == (1, None, {"name": name})
        assert not context.cancelled
        context.check_cancelled()
        context.progress(0.25, "reading")
        context.set_result({"so far": 1})
        context.log.info("read", lines=3)
        context.log.warning("odd: \ud800")
        told.set()
        assert go.wait(PATIENCE)
        return "whole"

    hire(app)
    job = tell.enqueue("x")
    await_event(told)

    job = job.refresh()
    assert (job.state, job.progress, job.result) == ("running", Progress(0.25, "reading"), {"so far": 1})
    eventually(lambda: len(app.logs(job)) == 2)
    go.set()
    job = job.wait(PATIENCE)
    assert (job.result, job.progress) == ("whole", Progress(0.25, "reading"))
    assert [(line.message, line.level, line.attempt, line.data) for line in app.logs(job)] == [
        ("read", 20, 1, {"lines": 3}),
        ("odd: \\ud800", 30, 1, {}),
    ]


def test_an_async_handler_has_the_same_context(app: Millrace, hire: Hire) -> None:
    told, go = threading.Event(), threading.Event()

    async def deeper() -> JobContext:
        await asyncio.sleep(0)
        return current_job()

    @app.task
    async def tell(context: JobContext) -> str:
        assert await asyncio.create_task(deeper()) is context
        assert await asyncio.to_thread(current_job) is context
        context.progress(1)
        context.set_result([1])
        context.log.debug("seen")
        told.set()
        assert await asyncio.to_thread(go.wait, PATIENCE)
        return "whole"

    hire(app)
    job = tell.enqueue()
    await_event(told)

    eventually(lambda: (job.refresh().progress, job.refresh().result) == (Progress(1.0), [1]))
    go.set()
    assert job.wait(PATIENCE).result == "whole"
    assert [line.message for line in app.logs(job)] == ["seen"]


def test_a_child_process_has_the_same_context(process_app: Millrace, hire: Hire) -> None:
    hire(process_app, concurrency=1)
    job = everything.using().job(Path("dir/file.txt"))

    done = process_app.enqueue(job).wait(PATIENCE)

    assert done.result == {"same": True, "attempt": 1, "name": "file.txt", "cancelled": False}
    (line,) = process_app.logs(done)
    assert (line.message, line.data["number"], line.attempt) == ("hello", 1, 1)


def test_every_line_logged_before_the_end_is_kept(app: Millrace, hire: Hire) -> None:
    """Lines are fenced like outcomes: those of a short job must be written before it ends."""

    @app.task
    def chatter() -> None:
        for number in range(20):
            current_job().log.info(f"line {number}")

    hire(app, concurrency=4)
    jobs = app.enqueue_many([chatter.job() for _ in range(30)])

    for job in jobs:
        job.wait(PATIENCE)
        assert [line.message for line in app.logs(job)] == [f"line {number}" for number in range(20)]


def test_frequent_progress_keeps_the_newest(app: Millrace, hire: Hire) -> None:
    told, go = threading.Event(), threading.Event()

    @app.task
    def count() -> None:
        for number in range(1000):
            current_job().progress(number / 1000)
        told.set()
        assert go.wait(PATIENCE)
        raise ValueError("after all")

    hire(app)
    job = count.using(max_attempts=1).enqueue()
    await_event(told)

    eventually(lambda: job.refresh().progress == Progress(0.999))
    go.set()
    assert job.wait(PATIENCE).progress == Progress(0.999)


def test_the_progress_told_last_stays_on_a_completed_job(app: Millrace, hire: Hire) -> None:
    @app.task
    def count() -> str:
        for number in range(100):
            current_job().progress(number / 100, f"step {number}")
        return "done"

    hire(app)
    job = count.enqueue().wait(PATIENCE)

    assert (job.state, job.progress) == ("completed", Progress(0.99, "step 99"))
    assert app.retry(job).progress is None


def test_a_log_line_takes_arguments_as_logging_does(app: Millrace) -> None:
    job = app.task(log_all).enqueue()
    app.drain()

    assert job.refresh().error is None
    lines = app.logs(job)
    assert [(line.message, line.level) for line in lines[:6]] == [
        ("a 1", 20),
        ("50 %", 20),
        ("100 % sure", 10),
        ("b of c", 30),
        ("one 2 [its arguments do not fit: TypeError: not all arguments converted during string formatting]", 40),
        ("%d [its arguments do not fit: TypeError: %d format: a real number is required, not str]", 20),
    ]
    assert lines[0].data == {"lines": 3}
    first, *_, last = lines[6].message.splitlines()
    assert (first, last, lines[6].level) == ("x is none", "ValueError: not this one", 40)
    assert "in log_all" in lines[6].message
    assert lines[7].message == "nothing is wrong"


def log_all() -> None:
    log = current_job().log
    log.info("a %s", 1, lines=3)
    log.info("50 %")
    log.debug("%d %% sure", 100)
    log.warning("%(b)s of %(c)s", {"b": "b", "c": "c"})
    log.error("one 2", 3)  # noqa: PLE1205 - that is what is tried
    log.info("%d", "x")
    try:
        raise ValueError("not this one")  # noqa: TRY301
    except ValueError:
        log.exception("%s is none", "x")
    log.exception("nothing is wrong")  # noqa: LOG004 - that is what is tried


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "half", None, True])
def test_a_fraction_that_is_none_is_refused(memory_app: Millrace, fraction: Any) -> None:
    @memory_app.task(max_attempts=1)
    def tell() -> None:
        with pytest.raises(ConfigurationError, match="is not from 0 to 1"):
            current_job().progress(fraction)

    job = tell.enqueue()
    memory_app.drain()
    assert job.refresh().state == "completed"


def test_a_message_of_progress_is_stored_with_lone_surrogates_escaped(app: Millrace) -> None:
    seen: list[Progress | None] = []

    @app.task(max_attempts=1)
    def tell() -> None:
        current_job().progress(0.5, "odd: \ud800")
        seen.append(app.get(current_job().job.id).progress)

    job = tell.enqueue()
    app.drain()
    assert (job.refresh().state, seen) == ("completed", [Progress(0.5, "odd: \\ud800")])


def test_a_message_of_progress_that_is_no_text_is_refused_at_the_call(memory_app: Millrace) -> None:
    message: Any = b"bytes"

    @memory_app.task(max_attempts=1)
    def tell() -> None:
        with pytest.raises(ConfigurationError, match="the message of progress b'bytes' is no text"):
            current_job().progress(0.5, message)

    job = tell.enqueue()
    memory_app.drain()
    assert job.refresh().state == "completed"


def test_a_partial_result_that_cannot_be_stored_is_refused_at_the_call(memory_app: Millrace) -> None:
    @memory_app.task(max_attempts=1)
    def tell() -> None:
        with pytest.raises(PayloadError):
            current_job().set_result(object())

    job = tell.enqueue()
    memory_app.drain()
    assert job.refresh().state == "completed"


def test_outside_a_handler_there_is_no_current_job() -> None:
    with pytest.raises(ConfigurationError, match="no job runs here"):
        current_job()


# -- nothing of one job reaches the next

color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")


def test_a_context_variable_that_a_handler_sets_is_gone_in_the_next_job(app: Millrace, hire: Hire) -> None:
    @app.task
    def sync() -> str:
        before = color.get()
        color.set("red")
        return before

    @app.task
    async def on_loop() -> str:
        before = color.get()
        await asyncio.sleep(0)
        color.set("blue")
        return before

    hire(app, concurrency=1)
    jobs = app.enqueue_many([task.job() for _ in range(10) for task in (sync, on_loop)])

    assert {app.result(job, timeout=PATIENCE) for job in jobs} == {"none"}


def test_a_background_task_of_a_handler_still_has_its_own_job(app: Millrace, hire: Hire) -> None:
    seen: list[UUID] = []
    others_ran, told = asyncio.Event(), threading.Event()

    async def background() -> None:
        await others_ran.wait()
        seen.append(current_job().job.id)
        told.set()

    tasks: list[asyncio.Task[None]] = []

    @app.task
    async def first() -> None:
        tasks.append(asyncio.create_task(background()))

    @app.task
    async def second() -> None:
        others_ran.set()
        await asyncio.sleep(0)

    hire(app, concurrency=1)
    job = first.enqueue()
    job.wait(PATIENCE)
    second.enqueue().wait(PATIENCE)

    await_event(told)
    assert seen == [job.id]


def test_a_task_that_a_handler_cancels_itself_does_not_cancel_the_next(app: Millrace, hire: Hire) -> None:
    @app.task(max_attempts=1)
    async def cancel_me() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    @app.task(max_attempts=1)
    async def swallow() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return task.cancelling()
        return 0

    @app.task(max_attempts=1)
    async def innocent() -> int:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    hire(app, concurrency=1)
    jobs = app.enqueue_many([task.job() for task in (cancel_me, innocent, swallow, innocent)])
    for job in jobs:
        app.wait(job, timeout=PATIENCE)

    states = [job.refresh().state for job in jobs]
    assert states == ["dead", "completed", "completed", "completed"]
    assert [app.get(job).result for job in jobs[1:]] == [0, 1, 0]
    assert app.get(jobs[0]).error == "CancelledError"
