"""The verbs of an app that look, awaitable. Owns one line for each: its sync form does the work, elsewhere."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from millrace import checks
from millrace.events import JobEvent
from millrace.hooking import chosen_sight
from millrace.hooks import told_after
from millrace.job import Job
from millrace.reader import Id, States, chosen
from millrace.records import Attempt, LogLine, Page, QueueInfo, WorkerInfo
from millrace.states import JobState
from millrace.threads import in_thread

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["AsyncReader"]

P = ParamSpec("P")
T = TypeVar("T")


class AsyncReader:
    """What `AsyncClient` can tell, and how each of its verbs is brought to the store.

    In the examples `app` is a `Millrace("memory://")` with the task `ping`, and `run` is `asyncio.run`.
    """

    def __init__(self, app: Millrace) -> None:
        self._app = app

    async def _long(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that may last in a thread of its own, so that no enqueue waits behind it."""
        return await told_after(self._app.hooks, in_thread, partial(verb, *args, **kwargs))

    async def _run(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await told_after(self._app.hooks, self._app.bridge.call, partial(verb, *args, **kwargs))

    async def get(self, id: Id) -> Job[Any]:
        """Read one job.

        >>> run(app.aio.get(ping.enqueue().id)).task
        'ping'
        """
        return await self._run(self._app.get, id)

    async def list(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        unique_key: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Read one page of jobs, newest first.

        >>> job = ping.enqueue()
        >>> run(app.aio.list(state="pending", limit=20)).jobs == [job]
        True
        """
        return await self._run(
            self._app.list,
            state=state,
            queue=queue,
            task=task,
            tag=tag,
            unique_key=unique_key,
            limit=limit,
            cursor=cursor,
        )

    async def iter(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        unique_key: str | None = None,
    ) -> AsyncIterator[Job[Any]]:
        """Go through all jobs that match, newest first: `async for job in app.aio.iter()`.

        >>> async def ids() -> list[object]:
        ...     return [job.id async for job in app.aio.iter(task="ping")]
        >>> job = ping.enqueue()
        >>> run(ids()) == [job.id]
        True
        """
        pages = self._app.pages(chosen(state, queue=queue, task=task, tag=tag, unique_key=unique_key))

        def following() -> builtins.list[Job[Any]] | None:
            return next(pages, None)

        while (page := await self._run(following)) is not None:
            for job in page:
                yield job

    async def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count jobs by state.

        >>> job = ping.enqueue()
        >>> run(app.aio.counts())[job.state]
        1
        """
        return await self._run(self._app.counts, queue, exact=exact)

    async def depth(self, queue: str | None = None) -> int:
        """Count the jobs that wait for a worker.

        >>> job = ping.enqueue()
        >>> run(app.aio.depth())
        1
        """
        return await self._run(self._app.depth, queue)

    async def logs(self, id: Id) -> builtins.list[LogLine]:
        """Read what a job's handlers logged.

        >>> run(app.aio.logs(ping.enqueue()))
        []
        """
        return await self._run(self._app.logs, id)

    async def attempts(self, id: Id) -> builtins.list[Attempt]:
        """Read a job's attempts that have ended.

        >>> job = ping.enqueue()
        >>> run(app.aio.drain())[job.refresh().state], len(run(app.aio.attempts(job)))
        (1, 1)
        """
        return await self._run(self._app.attempts, id)

    async def queues(self) -> builtins.list[QueueInfo]:
        """Read every queue that has settings or jobs.

        >>> job = ping.enqueue()
        >>> [queue.name for queue in run(app.aio.queues())]
        ['default']
        """
        return await self._run(self._app.queues)

    async def workers(self) -> builtins.list[WorkerInfo]:
        """Read the workers that have reported themselves.

        >>> run(app.aio.workers())
        []
        """
        return await self._run(self._app.workers)

    async def events(
        self, *, job: Id | None = None, queue: str | None = None, follow: bool = True
    ) -> AsyncIterator[JobEvent]:
        """Follow what happens to a job, to the jobs of a queue, or to all: `async for event in app.aio.events(…)`.

        >>> job = ping.enqueue()
        >>> async def names() -> list[str]:
        ...     return [type(event).__name__ async for event in app.aio.events(job=job, follow=False)]
        >>> run(names())
        ['JobEnqueued']
        """
        id = chosen_sight(job, queue)
        if not checks.flag("follow", follow):
            for event in await self._run(self._app.events_now, id, queue):
                yield event
            return
        from asyncio import get_running_loop

        if id is None:
            follower = await self._long(self._app.feed.follow_queue, queue, get_running_loop())
        else:
            await self._run(self._app.row_of, id)
            follower = self._app.feed.follow_job(id, get_running_loop())
        try:
            while (taken := await follower.until_more()) is not None:
                for event in taken:
                    yield event
        finally:
            follower.leave()
