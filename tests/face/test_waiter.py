from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from millrace import JobFailed, JobNotFound, Millrace, StoreUnavailable, WaitTimeout
from millrace.job import JobRow
from millrace.store import Store, Subscription
from millrace.stores import MemoryStore
from tests.face.stores import PATIENCE


class Watched:
    """A memory store that counts its watchers and may break when it is read."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.watches = 0
        self.broken: Exception | None = None

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        self.watches += 1
        return self.inner.watch(on_change)

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        if self.broken is not None and threading.current_thread().name == "millrace-waiter":
            raise self.broken
        return self.inner.get(ids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def store() -> Watched:
    return Watched()


@pytest.fixture
def app(store: Watched) -> Iterator[Millrace]:
    with Millrace(cast("Store", store)) as app:
        yield app


def waiters(app: Millrace) -> int:
    return len(app.waiter._slots)  # pyright: ignore[reportPrivateUsage]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_thread_that_waits_wakes_when_the_job_ends(app: Millrace) -> None:
    job = app.task(name="ping")(lambda: None).enqueue()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.wait, job, PATIENCE)
        until(lambda: waiters(app) == 1)
        app.complete(app.claim()[0], "done")

        assert waiting.result(PATIENCE).result == "done"

    assert waiters(app) == 0


def test_a_job_that_has_ended_is_returned_without_a_watcher(app: Millrace, store: Watched) -> None:
    job = app.cancel(app.task(name="ping")(lambda: None).enqueue())

    assert app.wait(job).state == "cancelled"
    assert job.wait(timeout=0).state == "cancelled"
    assert store.watches == 0


def test_many_who_wait_share_one_thread_and_one_watch(app: Millrace, store: Watched) -> None:
    ping = app.task(name="ping")(lambda: None)
    jobs = app.enqueue_many([ping.job() for _ in range(5)])

    async def main() -> None:
        waits = [asyncio.create_task(app.aio.wait(job, PATIENCE)) for job in jobs for _ in range(4)]
        while waiters(app) < len(waits):  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0)
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("millrace")]
        assert sorted(names) == ["millrace-store", "millrace-waiter"]
        for job in app.claim(5):
            app.complete(job)
        assert {job.state for job in await asyncio.gather(*waits)} == {"completed"}

    asyncio.run(main())

    assert store.watches == 1
    assert app.wait(jobs[0]).state == "completed"
    assert store.watches == 1


def test_past_its_time_waiting_ends_and_the_job_goes_on(app: Millrace) -> None:
    job = app.task(name="ping")(lambda: None).enqueue()

    with pytest.raises(WaitTimeout, match=rf"job {job.id} \(ping\) had not ended after 0.01 s; .* pending") as caught:
        app.wait(job, timeout=0.01)
    assert isinstance(caught.value, TimeoutError)

    async def main() -> None:
        with pytest.raises(WaitTimeout, match=r"had not ended after 0\.01 s"):
            await app.aio.wait(job.id, timeout=0.01)

    asyncio.run(main())

    assert job.refresh().state == "pending"
    assert waiters(app) == 0


def test_a_task_that_is_cancelled_while_it_waits_leaves_nobody_waiting(app: Millrace) -> None:
    job = app.task(name="ping")(lambda: None).enqueue()

    async def main() -> None:
        waiting = asyncio.create_task(app.aio.wait(job))
        while not waiters(app):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())

    assert waiters(app) == 0


def test_a_job_deleted_while_it_is_waited_for_is_told(app: Millrace) -> None:
    job = app.task(name="ping")(lambda: None).enqueue()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.wait, job, PATIENCE)
        until(lambda: waiters(app) == 1)
        app.delete(job)

        with pytest.raises(JobNotFound, match=str(job.id)):
            waiting.result(PATIENCE)


def test_a_store_that_breaks_is_told_to_all_who_wait_and_the_next_wait_works(app: Millrace, store: Watched) -> None:
    ping = app.task(name="ping")(lambda: None)
    job = ping.enqueue()
    store.broken = StoreUnavailable("the file is gone")

    with pytest.raises(StoreUnavailable, match="the file is gone"):
        app.wait(job, timeout=PATIENCE)
    store.broken = None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.wait, job, PATIENCE)
        until(lambda: waiters(app) == 1)
        app.cancel(job)
        assert waiting.result(PATIENCE).state == "cancelled"


def test_closing_the_app_ends_the_waiting(app: Millrace) -> None:
    job = app.task(name="ping")(lambda: None).enqueue()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.wait, job)
        until(lambda: waiters(app) == 1)
        app.close()

        with pytest.raises(StoreUnavailable, match="was closed while a job was waited for"):
            waiting.result(PATIENCE)


def test_a_result_is_waited_for_and_comes_as_its_type(app: Millrace) -> None:
    @app.task
    def halves() -> tuple[int, int]:
        return 1, 2

    job = halves.enqueue()
    app.complete(app.claim()[0], (1, 2))

    assert app.result(job, timeout=PATIENCE) == (1, 2)
    assert app.result(job.id) == (1, 2)
    assert asyncio.run(app.aio.result(job)) == (1, 2)
    assert app.get(job).result == [1, 2]


def test_no_result_is_none(app: Millrace) -> None:
    job = app.task(name="ping")(lambda: None).enqueue()
    app.complete(app.claim()[0])

    assert app.result(job) is None


def test_the_result_of_a_job_that_died_is_an_error_with_the_jobs_own(app: Millrace) -> None:
    job = app.task(name="ping", max_attempts=1)(lambda: None).enqueue()
    app.fail(app.claim()[0], ValueError("no such user"))

    with pytest.raises(JobFailed, match=r"is dead: ValueError: no such user; app\.attempts") as caught:
        app.result(job)

    assert caught.value.job.reason == "exhausted"


def test_a_job_that_died_with_its_workers_says_so(app: Millrace) -> None:
    job = app.task(name="ping", max_crashes=2)(lambda: None).enqueue()
    for crashes in (1, 2):
        app.claim(lease=1e-6)
        until(lambda: not app.claim(tasks=["another"]) and app.get(job).state != "running")
        assert app.get(job).error == (
            f"LeaseLost: its worker was lost while it ran, as {crashes} of at most 2 times (max_crashes)"
        )

    with pytest.raises(JobFailed, match="is dead: LeaseLost: its worker was lost while it ran, as 2 of at most 2"):
        app.result(job)


def test_the_result_of_a_cancelled_job_is_an_error_that_says_so(app: Millrace) -> None:
    job = app.cancel(app.task(name="ping")(lambda: None).enqueue())

    with pytest.raises(JobFailed, match="is cancelled: cancelled"):
        app.result(job)
