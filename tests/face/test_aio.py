from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from millrace import JobNotFound, Millrace, NewJob, StoreUnavailable
from millrace.aio import AsyncClient
from millrace.aioschedules import AsyncSchedules
from millrace.app import Millrace as App
from millrace.schedules import Schedules

# What an app has besides its verbs: how it is built and run, and what its neighbours in the face ask of it.
NO_VERBS = {
    "arefreshed", "capture_logs", "cron", "dashboard", "events_now", "every", "lifespan", "load", "measured_by",
    "middleware", "not_found", "on", "pages", "refreshed", "row_of", "run_worker", "settle_schedules", "task",
    "terms_of", "view", "waited",
}  # fmt: skip


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        app.task(name="add")(add)
        yield app


def add(a: int = 1) -> int:
    return a


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: member for name, member in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_every_sync_verb_has_its_awaitable_twin_and_no_twin_is_alone() -> None:
    assert set(methods(AsyncClient)) == set(methods(App)) - NO_VERBS


def test_the_verbs_of_schedules_are_the_same_too() -> None:
    assert set(methods(AsyncSchedules)) == set(methods(Schedules))
    for name, verb in methods(Schedules).items():
        twin = methods(AsyncSchedules)[name]
        assert inspect.signature(twin).parameters.keys() == inspect.signature(verb).parameters.keys()
        assert inspect.iscoroutinefunction(twin)


@pytest.mark.parametrize("name", sorted(methods(AsyncClient)))
def test_a_verb_takes_the_same_in_both_forms(name: str) -> None:
    sync, twin = inspect.signature(methods(App)[name]), inspect.signature(methods(AsyncClient)[name])

    assert [(p.name, p.kind, p.default) for p in twin.parameters.values()] == [
        (p.name, p.kind, p.default) for p in sync.parameters.values()
    ]
    assert inspect.iscoroutinefunction(methods(AsyncClient)[name]) or name in {"events", "iter"}
    assert methods(App)[name].__doc__
    assert methods(AsyncClient)[name].__doc__


def test_every_verb_works_awaited(app: Millrace) -> None:
    async def main() -> None:
        aio = app.aio
        one, two, three = await aio.enqueue_many([NewJob("add", tags=["t"], queue="q") for _ in range(3)])
        assert await aio.counts("q") == app.counts("q")
        assert await aio.depth("q") == 3
        assert (await aio.list(tag="t", limit=2)).jobs == [three, two]
        assert [job async for job in aio.iter(queue="q")] == [three, two, one]
        assert (await aio.get(one)) == one
        assert (await aio.cancel(one)).state == "cancelled"
        assert (await aio.retry(one, {"a": 2})).args == {"a": 2}
        assert (await aio.reschedule(one, run_at=datetime(2100, 1, 1, tzinfo=UTC))).state == "scheduled"
        assert (await aio.delete(one)).id == one.id
        await aio.set_queue("q", priority=3)
        await aio.pause("q")
        assert await aio.claim() == []
        await aio.resume("q")
        assert [(queue.name, queue.priority) for queue in await aio.queues()] == [("q", 3)]
        first, second = await aio.claim(limit=2, queues=["q"], tasks=["add"], lease=5)
        assert (await aio.extend(first, 60)).state == "running"
        assert (await aio.complete(first, 7)).state == "completed"
        assert await aio.result(first) == 7
        assert (await aio.wait(first)).result == 7
        assert (await aio.fail(second, "no", retry_in=0)).state == "failed"
        assert [attempt.error for attempt in await aio.attempts(second)] == ["no"]
        (third,) = await aio.claim()
        assert (await aio.release(third)).state == "pending"
        assert await aio.logs(third) == []
        assert await aio.cancel_all(queue="q") == 1
        assert await aio.retry_all(state="cancelled") == 1
        assert await aio.purge(older_than=0, states="completed") in (0, 1)
        assert await aio.delete_all(state="pending") == 1
        assert await aio.workers() == []
        assert await aio.migrate() == []

    asyncio.run(main())


def test_errors_come_to_the_task_that_awaits(app: Millrace) -> None:
    async def main() -> None:
        with pytest.raises(JobNotFound):
            await app.aio.get("0190163d-8694-739b-aea5-966c26f8ad91")

    asyncio.run(main())


def test_an_app_is_an_async_context_manager_and_opens_again() -> None:
    app = Millrace("memory://named")
    app.task(name="add")(add)

    async def main() -> int:
        async with app:
            await app.aio.enqueue(NewJob("add"))
            return await app.aio.depth()

    assert asyncio.run(main()) == 1
    assert asyncio.run(main()) == 1  # closed in between, and the named store with it
    app.close()


def test_the_verbs_open_and_close_the_app_as_the_app_itself_does() -> None:
    app = Millrace("memory://name of this test")
    task = app.task(name="add")(add)

    async def main() -> int:
        async with app.aio as aio:
            await task.aenqueue()
            return await aio.depth()

    assert asyncio.run(main()) == 1
    with pytest.raises(StoreUnavailable, match="closed"):
        app.depth()
    assert asyncio.run(main()) == 1
    assert app.closed


def test_a_long_verb_does_not_hold_up_the_others(app: Millrace) -> None:
    """`purge` and its like have a thread of their own: what is awaited beside them does not wait behind them."""
    import threading

    entered, leave = threading.Event(), threading.Event()
    purge = app.purge

    def held(*args: Any, **kwargs: Any) -> int:
        entered.set()
        assert leave.wait(10)
        return purge(*args, **kwargs)

    app.purge = held  # type: ignore[method-assign]

    async def main() -> None:
        purging = asyncio.create_task(app.aio.purge(older_than=1))
        await asyncio.to_thread(entered.wait, 10)
        assert await app.aio.depth() == 0
        leave.set()
        assert await purging == 0

    asyncio.run(main())
