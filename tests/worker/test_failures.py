"""However a handler ends, it costs its own job a try and nobody anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from millrace import Backoff, CancelJob, JobState, Millrace, OutcomeKind, RetryAfter, SkipRetry, Snooze, Worker
from tests.worker.childtasks import fail as fail_in_child
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, eventually


def recurse() -> None:
    recurse()


def fill_memory() -> None:
    raise MemoryError("no more")


def leave() -> None:
    raise SystemExit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def cancelled() -> None:
    raise asyncio.CancelledError


def stop_iteration() -> None:
    raise StopIteration("over")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def unprintable() -> None:
    raise Unprintable


ENDS: list[tuple[Callable[[], Any], str]] = [
    (recurse, "RecursionError"),
    (fill_memory, "MemoryError: no more"),
    (leave, "SystemExit: 3"),
    (interrupt, "KeyboardInterrupt"),
    (cancelled, "CancelledError"),
    (unprintable, "Unprintable: <its text cannot be read: RuntimeError>"),
]


@pytest.mark.parametrize(("end", "error"), ENDS)
@pytest.mark.parametrize("on_loop", [False, True])
def test_whatever_a_handler_raises_is_a_failed_attempt_and_harms_nobody(
    memory_app: Millrace, hire: Hire, end: Callable[[], Any], error: str, *, on_loop: bool
) -> None:
    app = memory_app

    async def on_the_loop() -> None:
        await asyncio.sleep(0)
        end()

    @app.task(name="good")
    async def good() -> str:
        await asyncio.sleep(0)
        return "good"

    bad = app.task(name="bad", max_attempts=1)(on_the_loop if on_loop else end)
    worker = hire(app, concurrency=2)
    jobs = app.enqueue_many([job for _ in range(5) for job in (bad.job(), good.job())])

    for job in jobs:
        app.wait(job, timeout=PATIENCE)
    found = [app.get(job) for job in jobs]
    assert [job.state.value for job in found] == ["dead", "completed"] * 5
    assert {job.error.partition("\n")[0] for job in found if job.error} <= {
        error,
        "RecursionError: maximum recursion depth exceeded",
    }
    assert all((job.error or "").startswith(error) for job in found[::2])
    assert worker.running


def test_a_stop_iteration_fails_on_the_loop_and_in_a_thread(memory_app: Millrace, hire: Hire) -> None:
    """A coroutine turns it into a RuntimeError; neither may end the machinery that drives it."""

    @memory_app.task(max_attempts=1)
    async def on_loop() -> None:
        stop_iteration()

    in_thread = memory_app.task(max_attempts=1, name="in_thread")(stop_iteration)
    hire(memory_app)

    assert on_loop.enqueue().wait(PATIENCE).error == "RuntimeError: coroutine raised StopIteration"
    assert in_thread.enqueue().wait(PATIENCE).error == "StopIteration: over"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_background_task_that_wants_to_end_the_process_does_not(
    memory_app: Millrace, hire: Hire, kind: type[BaseException]
) -> None:
    """An event loop lets these two through; the worker's goes on."""
    kept: list[asyncio.Task[None]] = []

    async def leave_later() -> None:
        await asyncio.sleep(0)
        raise kind

    @memory_app.task
    async def start() -> None:
        kept.append(asyncio.create_task(leave_later()))

    @memory_app.task
    async def after() -> str:
        await asyncio.sleep(0.01)
        return "still here"

    hire(memory_app)
    start.enqueue().wait(PATIENCE)
    eventually(lambda: bool(kept) and kept[0].done())

    assert after.enqueue().wait(PATIENCE).result == "still here"
    assert isinstance(kept[0].exception(), kind)


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": {1, float("inf")}}, "x" * 1_100_000])
def test_a_result_that_cannot_be_stored_makes_the_job_dead_at_once(memory_app: Millrace, value: Any) -> None:
    job = memory_app.task(name="odd", max_attempts=5)(lambda: value).enqueue()

    memory_app.drain()

    job = job.refresh()
    assert (job.state, job.reason, job.attempt) == ("dead", "bad-result", 1)
    assert job.error is not None
    assert job.error.startswith("PayloadError: ")


def test_a_failed_attempt_is_tried_again_until_the_tries_are_used_up(app: Millrace, hire: Hire) -> None:
    @app.task(max_attempts=3, retry=Backoff.fixed(0))
    def fail() -> None:
        raise ValueError("no luck")

    hire(app)
    job = fail.enqueue().wait(PATIENCE)

    assert (job.state, job.reason, job.attempt, job.error) == ("dead", "exhausted", 3, "ValueError: no luck")
    attempts = app.attempts(job)
    assert [(each.attempt, each.outcome.value) for each in attempts] == [(1, "failed"), (2, "failed"), (3, "dead")]
    assert all(each.traceback is not None and "no luck" in each.traceback for each in attempts)


def test_a_retry_starts_when_its_delay_has_passed(app: Millrace, hire: Hire) -> None:
    @app.task(retry=Backoff.fixed(0.2))
    def once() -> str:
        from millrace import current_job

        if current_job().attempt == 1:
            raise ValueError("first")
        return "second"

    hire(app)
    job = once.enqueue().wait(PATIENCE)

    first, second = app.attempts(job)
    assert second.started_at is not None
    assert (second.started_at - first.finished_at).total_seconds() >= 0.2
    assert job.result == "second"


@pytest.mark.parametrize(
    ("signal", "state", "reason", "attempt"),
    [
        (Snooze(3600), JobState.SCHEDULED, None, 0),
        (RetryAfter(3600), JobState.FAILED, None, 1),
        (SkipRetry("enough"), JobState.DEAD, "skip-retry", 1),
        (CancelJob("withdrawn"), JobState.CANCELLED, "cancelled", 1),
    ],
)
def test_a_signal_does_what_it_says(
    app: Millrace, signal: Exception, state: JobState, reason: str | None, attempt: int
) -> None:
    @app.task
    def give() -> None:
        raise signal

    job = give.enqueue()
    assert app.drain() == {state: 1}

    job = job.refresh()
    assert (job.state, job.reason, job.attempt) == (state, reason, attempt)


def test_the_last_try_that_raises_retry_after_is_the_last(app: Millrace) -> None:
    @app.task(max_attempts=2)
    def later() -> None:
        raise RetryAfter(0)

    job = later.enqueue()
    app.drain()

    assert (job.refresh().state, job.refresh().attempt) == ("dead", 2)


def test_arguments_that_no_longer_fit_the_function_fail_the_attempt(app: Millrace) -> None:
    from millrace import NewJob

    @app.task(name="moved")
    def before(old: int) -> None: ...

    job = app.enqueue(NewJob("moved", {"old": 1}))

    with Millrace(app.store) as newer:

        @newer.task(name="moved", max_attempts=1)
        def after(new: int) -> None: ...

        newer.drain()
        job = newer.get(job)

        assert job.state == "failed"
        assert "the stored arguments do not fit moved(new: 'int')" in (job.error or "")


@pytest.mark.parametrize(
    ("kind", "state", "error"),
    [
        ("exit", "dead", "SystemExit: 3"),
        ("interrupt", "dead", "KeyboardInterrupt"),
        ("skip", "dead", "SkipRetry: enough"),
        ("snooze", "scheduled", None),
        ("recursion", "dead", "RecursionError: maximum recursion depth exceeded"),
        ("result", "dead", "PayloadError: the result"),
        ("value", "dead", "ValueError: value"),
    ],
)
def test_a_child_process_judges_in_the_same_way(children: Millrace, kind: str, state: str, error: str | None) -> None:
    job = fail_in_child.enqueue(kind)

    children.drain()

    job = job.refresh()
    assert job.state == state
    assert (job.error or "").startswith(error or "")
    assert (job.error is None) == (error is None)


def test_the_summary_counts_each_end_once(app: Millrace) -> None:
    @app.task(max_attempts=2, retry=Backoff.fixed(0))
    def mixed(kind: str) -> None:
        match kind:
            case "fail":
                raise ValueError
            case "snooze":
                raise Snooze(3600)
            case "cancel":
                raise CancelJob
            case _:
                return

    for kind in ("good", "good", "fail", "snooze", "cancel"):
        mixed.enqueue(kind)
    worker = Worker(app, burst=True)
    worker.run()

    assert dict(worker.summary.outcomes) == {
        OutcomeKind.COMPLETED: 2,
        OutcomeKind.FAILED: 1,
        OutcomeKind.DEAD: 1,
        OutcomeKind.SNOOZED: 1,
        OutcomeKind.CANCELLED: 1,
    }
