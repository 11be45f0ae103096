"""Running jobs from the face: drain, eager apps, workers held by an app or by a web app's lifespan."""

from __future__ import annotations

import asyncio
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millrace import (
    Backoff,
    ConfigurationError,
    Job,
    JobContext,
    JobState,
    Millrace,
    StoreUnavailable,
    Worker,
    current_job,
)
from millrace.stores import MemoryStore
from millrace.testing import ManualClock
from tests.face.stores import PATIENCE


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def app(url: str) -> Iterator[Millrace]:
    with Millrace(url) as app:
        yield app


@pytest.fixture
def eager(url: str) -> Iterator[Millrace]:
    with Millrace(url, eager=True) as app:
        yield app


def add(a: int, b: int = 1) -> int:
    return a + b


async def fetch(url: str) -> str:
    await asyncio.sleep(0)
    return url


def fail() -> None:
    raise ValueError("no such user")


class Crooked(Backoff):
    def delay(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        raise KeyboardInterrupt(f"no delay for try {attempt} at {chance()}")


# -- drain


def test_drain_runs_what_is_due_in_this_thread_and_counts_it(app: Millrace) -> None:
    where: list[str] = []
    here = app.task(name="here")(lambda: where.append(threading.current_thread().name))
    jobs: list[Job[Any]] = [here.enqueue(), app.task(fetch).enqueue("x"), app.task(fail).enqueue()]
    later = app.task(add).using(delay=60).enqueue(1)

    counts = app.drain()

    assert (counts[JobState.COMPLETED], counts[JobState.FAILED]) == (2, 1)
    assert where == [threading.current_thread().name]
    assert [job.refresh().state for job in [*jobs, later]] == ["completed", "completed", "failed", "scheduled"]
    assert app.result(jobs[1]) == "x"


def test_drain_takes_only_the_queues_it_is_told(app: Millrace) -> None:
    task = app.task(add)
    mail, other = task.using(queue="mail").enqueue(1), task.enqueue(1)

    app.drain(queues=["mail"])

    assert (mail.refresh().state, other.refresh().state) == ("completed", "pending")


def test_drain_runs_what_handlers_enqueue_and_retries_that_are_due(app: Millrace) -> None:
    tries: list[int] = []

    @app.task(retry=None)
    def child() -> None:
        tries.append(current_job().attempt)

    @app.task
    def parent() -> None:
        child.enqueue()

    parent.enqueue()
    app.drain()

    assert tries == [1]


def test_drain_is_awaited_inside_a_loop(app: Millrace) -> None:
    task = app.task(fetch)

    async def main() -> str:
        job = await task.aenqueue("x")
        assert (await app.aio.drain())[JobState.COMPLETED] == 1
        return await app.aio.result(job)

    assert asyncio.run(main()) == "x"


def test_arguments_and_results_keep_their_types_through_a_run(app: Millrace) -> None:
    @app.task
    def pair(context: JobContext, names: tuple[str, ...]) -> dict[int, tuple[str, ...]]:
        return {context.attempt: names}

    job = pair.enqueue(("a", "b"))
    app.drain()

    assert app.result(job) == {1: ("a", "b")}
    assert job.refresh().result == {"1": ["a", "b"]}


# -- eager


def test_an_eager_app_has_run_the_job_before_enqueue_returns(eager: Millrace) -> None:
    task = eager.task(name="add")(add)

    jobs = [
        task.enqueue(2, 3),
        eager.enqueue(task.job(2, 3)),
        *eager.enqueue_many([task.job(2, 3)]),
    ]

    assert [(job.state, job.result) for job in jobs] == [("completed", 5)] * 3
    assert eager.result(jobs[0]) == 5


def test_an_eager_app_runs_async_enqueues_too(eager: Millrace) -> None:
    task, other = eager.task(fetch), eager.task(add)

    async def main() -> list[Job[Any]]:
        return [
            await task.aenqueue("x"),
            await other.aenqueue(1),
            await eager.aio.enqueue(task.job("x")),
            *await eager.aio.enqueue_many([task.job("x")]),
        ]

    assert [job.state for job in asyncio.run(main())] == ["completed"] * 4


def test_a_failure_in_an_eager_app_is_recorded_and_not_raised(eager: Millrace) -> None:
    failed = eager.task(name="fail")(fail).enqueue()
    dead = eager.task(name="die", max_attempts=1)(fail).enqueue()

    assert (failed.state, failed.error) == ("failed", "ValueError: no such user")
    assert (dead.state, dead.reason) == ("dead", "exhausted")


def test_a_handler_in_an_eager_app_sees_what_it_enqueued_done(eager: Millrace) -> None:
    child = eager.task(name="child")(add)

    @eager.task
    def parent() -> str:
        return child.enqueue(1).state.value

    assert eager.result(parent.enqueue()) == "completed"


def test_an_eager_app_leaves_what_is_not_due(eager: Millrace) -> None:
    task = eager.task(name="add")(add)

    assert task.using(delay=60).enqueue(1).state == "scheduled"
    assert task.using(retention=0).enqueue(1).state == "pending"  # gone already: shown as it was stored


# -- workers


def test_a_burst_worker_ends_when_nothing_is_due(app: Millrace) -> None:
    job = app.task(add).enqueue(2, 3)

    assert app.run_worker(burst=True, concurrency=2) == 0
    assert app.result(job) == 5


def test_a_worker_held_in_a_with_block_runs_jobs_while_it_is_open(app: Millrace) -> None:
    task = app.task(add)

    with Worker(app, concurrency=2):
        assert app.result(task.enqueue(2, 3), timeout=PATIENCE) == 5


def test_many_async_waits_are_answered_while_a_worker_runs(app: Millrace) -> None:
    task = app.task(fetch)

    async def main() -> list[str]:
        async with Worker(app, concurrency=10):
            jobs = await asyncio.gather(*(task.aenqueue(str(number)) for number in range(100)))
            return await asyncio.gather(*(app.aio.result(job, timeout=PATIENCE) for job in jobs))

    assert asyncio.run(main()) == [str(number) for number in range(100)]


def test_drain_deletes_what_is_no_longer_kept() -> None:
    clock = ManualClock()
    with Millrace(MemoryStore(clock=clock)) as app:
        brief = app.task(add).using(retention=5)
        drains: list[Callable[[], object]] = [app.drain, lambda: asyncio.run(app.aio.drain())]
        for drain in drains:
            job = brief.enqueue(1)
            drain()
            clock.advance(6)
            assert job.refresh().state == "completed"

            drain()
            assert app.list().jobs == []


def test_whatever_a_policy_raises_the_attempt_has_failed(app: Millrace) -> None:
    task = app.task(max_attempts=2, retry=Crooked())(fail)
    job = task.enqueue()

    assert app.drain()[JobState.FAILED] == 1
    assert job.refresh().attempt == 1
    assert str(job.refresh().error).startswith("KeyboardInterrupt: no delay for try 1")
    app.reschedule(job, run_at=job.created_at)
    assert app.drain()[JobState.DEAD] == 1
    assert job.refresh().reason == "exhausted"
    assert "ValueError: no such user" in str(app.attempts(job)[0].traceback)


def test_a_worker_outlives_a_policy_that_raises(app: Millrace) -> None:
    task = app.task(retry=Crooked(), max_attempts=1)(fail)

    @app.task(retry=Crooked(), timeout=0.05, max_attempts=1)
    async def sleep() -> None:
        await asyncio.sleep(PATIENCE)

    with Worker(app, concurrency=1, grace=timedelta(seconds=5)):
        jobs: list[Job[Any]] = [task.enqueue(), sleep.enqueue()]
        assert [job.wait(timeout=timedelta(seconds=PATIENCE)).state for job in jobs] == ["dead", "dead"]


def test_a_worker_may_be_given_its_tasks_themselves(app: Millrace) -> None:
    task, other = app.task(add), app.task(fetch)
    jobs: list[Job[Any]] = [task.enqueue(1), other.enqueue("x")]

    assert Worker(app, tasks=[task], burst=True).run() == 0
    assert [job.refresh().state.value for job in jobs] == ["completed", "pending"]
    assert app.run_worker(tasks=[other, task.name], burst=True) == 0
    assert [job.refresh().state.value for job in jobs] == ["completed", "completed"]


# -- lifespan


def test_a_lifespan_opens_and_closes_the_app_with_the_web_app(app: Millrace) -> None:
    task = app.task(add)
    span = app.lifespan()

    async def serve() -> None:
        async with span(object()):
            await task.aenqueue(1)
        with pytest.raises(StoreUnavailable):
            await task.aenqueue(1)
        async with span(object()):  # a test client may start the web app again
            await task.aenqueue(1)

    asyncio.run(serve())


def test_a_lifespan_with_a_worker_runs_jobs(app: Millrace) -> None:
    task = app.task(add)

    async def serve() -> int:
        async with app.lifespan(worker=True, concurrency=4)(object()):
            return await app.aio.result(await task.aenqueue(2, 3), timeout=PATIENCE)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(serve()) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bogus": 1}, r"lifespan\(\) has no option 'bogus'; it knows worker, queues, tasks"),
        ({"burst": True}, r"lifespan\(\) has no option 'burst'"),
        ({"concurrency": 0}, "concurrency 0 is not acceptable"),
        ({"grace": "long"}, "grace 'long' is not a duration"),
    ],
)
def test_an_option_that_no_worker_takes_is_refused_where_the_lifespan_is_made(
    app: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app.lifespan(worker=True, **options)


def test_options_of_a_worker_without_one_are_refused(app: Millrace) -> None:
    with pytest.raises(ConfigurationError, match=r"lifespan\(concurrency=…\) is for a worker; add worker=True"):
        app.lifespan(concurrency=4)


def test_a_store_out_of_reach_stops_the_start_of_the_web_app(tmp_path: Path) -> None:
    app = Millrace(f"sqlite:///{tmp_path}/jobs.db")
    (tmp_path / "jobs.db").write_bytes(b"this is no database, but it is long enough to be looked at" * 100)

    async def serve() -> None:
        async with app.lifespan()(object()):
            raise AssertionError("it must not start")

    with pytest.raises(StoreUnavailable):
        asyncio.run(serve())
    app.close()
