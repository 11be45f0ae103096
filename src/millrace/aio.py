# ruff: noqa: ASYNC109 - `timeout` is the contract's word, and the sync verb has it
"""The verbs of an app, awaitable. Owns one line for each: its sync form does the work, on the store thread.

`enqueue` and `aenqueue` go another way, the bridge's group commit. `wait` holds no thread, and what
may last has one of its own.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload
from uuid import UUID

from millrace import checks
from millrace.ending import result_of, still_going
from millrace.job import Job
from millrace.newjob import NewJob
from millrace.options import DEFAULT_LEASE
from millrace.reader import Id, States, chosen
from millrace.records import Attempt, LogLine, Page, QueueInfo, WorkerInfo
from millrace.states import FINAL, JobState
from millrace.threads import in_thread

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["AsyncClient"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Seconds = float | timedelta


class AsyncClient:
    """`app.aio`: each verb of the app under the same name and with the same arguments, awaitable.

    What a verb does, takes, returns and raises is told at the sync one.

    >>> import asyncio
    >>> from millrace import Millrace
    >>> async def main() -> int:
    ...     async with Millrace("memory://") as app:
    ...         await app.aio.enqueue_many([app.task(name="ping")(lambda: "pong").job()])
    ...         return await app.aio.depth()
    >>> asyncio.run(main())
    1
    """

    def __init__(self, app: Millrace) -> None:
        self._app = app

    async def _long(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that may last in a thread of its own, so that no enqueue waits behind it."""
        return await in_thread(verb, *args, **kwargs)

    async def _run(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._app.bridge.call(verb, *args, **kwargs)

    # -- storing and waiting

    async def enqueue(self, job: NewJob, *, connection: object = None) -> Job[Any]:
        """Store one job, in one transaction with those that other tasks store at the same time."""
        return await self._app.producer.aput_new(job, connection)

    async def enqueue_many(self, jobs: Iterable[NewJob], *, connection: object = None) -> builtins.list[Job[Any]]:
        """Store jobs in order."""
        return await self._app.producer.aput_many(jobs, connection)

    @overload
    async def wait(self, id: Job[R], timeout: Seconds | None = None) -> Job[R]: ...
    @overload
    async def wait(self, id: UUID | str, timeout: Seconds | None = None) -> Job[Any]: ...
    async def wait(self, id: Id, timeout: Seconds | None = None) -> Job[Any]:
        """Wait until a job has ended, without holding a thread."""
        from asyncio import timeout as deadline

        limit = checks.optional_duration("timeout", timeout)
        row = await self._run(self._app.row_of, id)
        if row.state in FINAL:
            return self._app.view(row)
        try:
            async with deadline(limit):
                ended = await self._app.waiter.until_ended(row.id)
        except TimeoutError:
            raise still_going(row, limit) from None
        if ended is None:
            raise self._app.not_found(row.id)
        return self._app.view(ended)

    @overload
    async def result(self, job: Job[R], timeout: Seconds | None = None) -> R: ...
    @overload
    async def result(self, job: UUID | str, timeout: Seconds | None = None) -> Any: ...
    async def result(self, job: Id, timeout: Seconds | None = None) -> Any:
        """Wait for a job and return its result, without holding a thread."""
        return result_of(await self.wait(job, timeout), self._app.registry)

    # -- looking

    async def get(self, id: Id) -> Job[Any]:
        """Read one job."""
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
        """Read one page of jobs, newest first."""
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
        """Go through all jobs that match, newest first: `async for job in app.aio.iter()`."""
        pages = self._app.pages(chosen(state, queue=queue, task=task, tag=tag, unique_key=unique_key))

        def following() -> builtins.list[Job[Any]] | None:
            return next(pages, None)

        while (page := await self._run(following)) is not None:
            for job in page:
                yield job

    async def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count jobs by state."""
        return await self._run(self._app.counts, queue, exact=exact)

    async def depth(self, queue: str | None = None) -> int:
        """Count the jobs that wait for a worker."""
        return await self._run(self._app.depth, queue)

    async def logs(self, id: Id) -> builtins.list[LogLine]:
        """Read what a job's handlers logged."""
        return await self._run(self._app.logs, id)

    async def attempts(self, id: Id) -> builtins.list[Attempt]:
        """Read a job's attempts that have ended."""
        return await self._run(self._app.attempts, id)

    async def queues(self) -> builtins.list[QueueInfo]:
        """Read every queue that has settings or jobs."""
        return await self._run(self._app.queues)

    async def workers(self) -> builtins.list[WorkerInfo]:
        """Read the workers that have reported themselves."""
        return await self._run(self._app.workers)

    # -- changing

    async def cancel(self, id: Id) -> Job[Any]:
        """Cancel a job."""
        return await self._run(self._app.cancel, id)

    async def retry(self, id: Id, args: Mapping[str, Any] | None = None) -> Job[Any]:
        """Run a job again that has ended or failed."""
        return await self._run(self._app.retry, id, args)

    async def reschedule(self, id: Id, run_at: datetime) -> Job[Any]:
        """Move a waiting job to another time."""
        return await self._run(self._app.reschedule, id, run_at)

    async def delete(self, id: Id) -> Job[Any]:
        """Delete a job that does not run."""
        return await self._run(self._app.delete, id)

    async def retry_all(
        self,
        *,
        state: States | None = "dead",
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
    ) -> int:
        """Retry all jobs that match."""
        return await self._long(self._app.retry_all, state=state, queue=queue, task=task, tag=tag, error=error)

    async def cancel_all(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
    ) -> int:
        """Cancel all jobs that match."""
        return await self._long(self._app.cancel_all, state=state, queue=queue, task=task, tag=tag, error=error)

    async def delete_all(
        self,
        *,
        state: States,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
    ) -> int:
        """Delete all jobs that match."""
        return await self._long(self._app.delete_all, state=state, queue=queue, task=task, tag=tag, error=error)

    async def purge(self, older_than: Seconds | datetime, states: States = ("completed", "cancelled")) -> int:
        """Delete ended jobs that finished before a time."""
        return await self._long(self._app.purge, older_than, states)

    async def pause(self, queue: str) -> None:
        """Stop claims from a queue."""
        await self._run(self._app.pause, queue)

    async def resume(self, queue: str) -> None:
        """Allow claims from a queue again."""
        await self._run(self._app.resume, queue)

    async def set_queue(
        self,
        name: str,
        *,
        priority: int = 0,
        concurrency: int | None = None,
        rate: str | None = None,
        paused: bool | None = None,
    ) -> None:
        """Write a queue's settings."""
        await self._run(self._app.set_queue, name, priority=priority, concurrency=concurrency, rate=rate, paused=paused)

    # -- working without a worker

    async def claim(
        self,
        limit: int = 1,
        queues: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        lease: Seconds = DEFAULT_LEASE,
    ) -> builtins.list[Job[Any]]:
        """Take due jobs to work on them yourself."""
        return await self._run(self._app.claim, limit, queues, tasks, lease)

    async def complete(self, job: Job[R], result: object = None) -> Job[R]:
        """End a claimed job well."""
        return await self._run(self._app.complete, job, result)

    async def fail(self, job: Job[R], error: str | BaseException, retry_in: Seconds | None = None) -> Job[R]:
        """End a claimed job's attempt as failed."""
        return await self._run(self._app.fail, job, error, retry_in)

    async def release(self, job: Job[R]) -> Job[R]:
        """Give a claimed job back."""
        return await self._run(self._app.release, job)

    async def extend(self, job: Job[R], seconds: Seconds) -> Job[R]:
        """Hold a claimed job for so many seconds from now."""
        return await self._run(self._app.extend, job, seconds)

    # -- the whole

    async def drain(self, *, queues: Iterable[str] | None = None) -> dict[JobState, int]:
        """Run all that is due and claimable until none is left, async handlers on this very loop."""
        from millrace.worker import adrain

        return await adrain(self._app, queues)

    async def migrate(self) -> Sequence[str]:
        """Create or upgrade the store's schema."""
        return await self._run(self._app.migrate)

    async def open(self) -> None:
        """Open the store again after `close`."""
        await self._long(self._app.open)

    async def close(self) -> None:
        """Write what is under way, and give back every thread, connection and file."""
        await self._long(self._app.close)
