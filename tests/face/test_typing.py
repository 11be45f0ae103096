"""What a type checker sees of tasks. The right uses are checked with this file; so are the wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type
from uuid import UUID

import pytest

from millrace import AsyncTask, Backoff, Job, JobContext, Millrace, NewJob, Task, Worker
from millrace.chain import Chain

ROOT = Path(__file__).parents[2]


def describe(thing: object) -> str:
    return str(thing)


def right_uses() -> None:
    """Hold the types that users rely on; checked, and never run."""
    app = Millrace("memory://")

    @app.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(queue="mail", max_attempts=3)
    def send(_context: JobContext, to: str) -> str:
        return to

    @app.task
    async def fetch(url: str) -> bytes:
        return url.encode()

    @app.task(run_in="process")
    async def crunch(_context: JobContext, number: int) -> list[int]:
        return [number]

    assert_type(add(1), int)
    assert_type(add.enqueue(1, b=2), Job[int])
    assert_type(add.using(priority=1, delay=2.5).enqueue(1), Job[int])
    assert_type(app.result(add.enqueue(1)), int)
    assert_type(app.wait(add.enqueue(1)), Job[int])
    assert_type(add.job(1), NewJob)
    assert_type(send.enqueue("ada"), Job[str])
    awaitable: Coroutine[Any, Any, bytes] = fetch("x")
    as_result: bytes = fetch("x")  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    assert_type(fetch.enqueue("x"), Job[bytes])
    assert_type(fetch.using(queue="q").enqueue("x"), Job[bytes])
    assert_type(app.result(fetch.enqueue("x")), bytes)
    assert_type(crunch.enqueue(1), Job[list[int]])
    assert_type(app.task(describe).enqueue(1), Job[str])  # a first parameter for anything is no context
    assert_type(app.claim()[0], Job[Any])
    chain: Chain[[str], str] = fetch.then(app.task(describe))
    assert_type(chain.enqueue("x"), Job[str])
    assert_type(add.then(add, b=2).then(send).enqueue(1), Job[str])  # the context is no argument
    takes: Task[[str], bytes] = fetch
    also: AsyncTask[[str], bytes] = fetch
    del takes, also, awaitable, as_result


def durations_and_tasks(app: Millrace, add: Task[[int], int], job: Job[int]) -> None:
    """Hold that every duration may be a `timedelta`, and a task stand for its name; checked, and never run."""
    minute = timedelta(minutes=1)
    policy = Backoff(first=minute, limit=minute, listed=[minute, 5])
    assert_type((policy.first, policy.limit, policy.listed[0]), tuple[float, float, float])
    app.task(retry=policy, timeout=minute, lease=minute, retention=minute)(describe)
    add.using(delay=minute, timeout=minute, lease=minute, retention=minute)
    Millrace("memory://", retention=minute, dead_retention=minute)
    assert_type(job.wait(minute), Job[int])
    assert_type(app.wait(job, minute), Job[int])
    assert_type(app.result(job, minute), int)
    assert_type(app.run_worker(grace=minute, tasks=[add, "other"]), int)
    Worker(app, grace=minute, tasks=[add]).stop(minute)
    app.lifespan(worker=True, grace=minute, tasks=[add])
    app.claim(tasks=[add], lease=minute)
    app.extend(job, minute)
    app.fail(job, "no", retry_in=minute)
    app.purge(minute)


async def right_uses_awaited(app: Millrace, add: Task[[int], int], id: UUID) -> None:
    """Hold the types of the awaitable half; checked, and never run."""
    assert_type(await add.aenqueue(1), Job[int])
    assert_type(await app.aio.result(add.enqueue(1)), int)
    assert_type(await app.aio.wait(await add.aenqueue(1)), Job[int])
    assert_type(await app.aio.get(id), Job[Any])
    assert_type(await app.aio.complete(await add.aenqueue(1)), Job[int])


if TYPE_CHECKING:
    # Each ignore is an error that must be there: mypy's warn_unused_ignores finds one that is not.
    wrong = Millrace("memory://")

    @wrong.task
    def square(number: int) -> int:
        return number * number

    @wrong.task
    def told(context: JobContext, text: str) -> None: ...

    square.enqueue("one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    square.enqueue()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    square.enqueue(1, 2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    square.enqueue(count=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    square.then(square).enqueue("one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    square.then(describe)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    square.job("one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    square.using(colour="red")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    square.using(priority="high")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    told.enqueue(JobContext, "x")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]
    wrong.task(qeue="mail")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    result: str = wrong.result(square.enqueue(1))  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    other: str = square.using(priority=1)(2)  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_wrong_arguments_and_results_are_type_errors_and_right_ones_are_not(checker: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", checker, str(Path(__file__).relative_to(ROOT))],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout
