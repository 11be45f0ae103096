# ruff: noqa: ASYNC109 - `timeout` is the contract's word, and the sync verb has it
"""The verbs of an app, awaitable. Owns one line for each: its sync form does the work, on the store thread.

`enqueue` and `aenqueue` go another way, the bridge's group commit. `wait` holds no thread, and what
may last has one of its own.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from uuid import UUID

from millrace import checks
from millrace.aioreader import AsyncReader
from millrace.ending import result_of, still_going
from millrace.job import Job
from millrace.newjob import NewJob
from millrace.options import DEFAULT_LEASE
from millrace.reader import Id, States
from millrace.states import FINAL, JobState

if TYPE_CHECKING:
    from millrace.aioschedules import AsyncSchedules
    from millrace.limits import Rate

__all__ = ["AsyncClient"]

R = TypeVar("R")

Seconds = float | timedelta


class AsyncClient(AsyncReader):
    """`app.aio`: each verb of the app under the same name and with the same arguments, awaitable.

    What a verb does, takes, returns and raises is told at the sync one. `async with app.aio:` opens and closes the app,
    as `async with app:` does. In the examples of the verbs `app` is a `Millrace("memory://")` with the task `ping`, and
    `run` is `asyncio.run`; within an `async def` write `await`.

    >>> import asyncio
    >>> from millrace import Millrace
    >>> async def main() -> int:
    ...     async with Millrace("memory://") as app:
    ...         await app.aio.enqueue_many([app.task(name="ping")(lambda: "pong").job()])
    ...         return await app.aio.depth()
    >>> asyncio.run(main())
    1
    """

    @cached_property
    def schedules(self) -> AsyncSchedules:
        """The schedules: put, read, pause, resume, delete, run now.

        >>> run(app.aio.schedules.list())
        []
        """
        from millrace.aioschedules import AsyncSchedules

        return AsyncSchedules(self._app.schedules, self._run, self._long)

    # -- storing and waiting

    async def enqueue(self, job: NewJob, *, connection: object = None) -> Job[Any]:
        """Store one job, in one transaction with those that other tasks store at the same time.

        >>> run(app.aio.enqueue(ping.job())).state.value
        'pending'
        """
        return await self._app.producer.aput_new(job, connection)

    async def enqueue_many(self, jobs: Iterable[NewJob], *, connection: object = None) -> builtins.list[Job[Any]]:
        """Store jobs in order.

        >>> len(run(app.aio.enqueue_many([ping.job() for _ in range(3)])))
        3
        """
        return await self._app.producer.aput_many(jobs, connection)

    @overload
    async def wait(self, id: Job[R], timeout: Seconds | None = None) -> Job[R]: ...
    @overload
    async def wait(self, id: UUID | str, timeout: Seconds | None = None) -> Job[Any]: ...
    async def wait(self, id: Id, timeout: Seconds | None = None) -> Job[Any]:
        """Wait until a job has ended, without holding a thread.

        >>> job = run(app.aio.cancel(ping.enqueue()))
        >>> run(app.aio.wait(job, timeout=10)).state.value
        'cancelled'
        """
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
        """Wait for a job and return its result, without holding a thread.

        >>> job = ping.enqueue()
        >>> run(app.aio.drain())[job.refresh().state], run(app.aio.result(job))
        (1, 'pong')
        """
        return result_of(await self.wait(job, timeout), self._app.registry)

    # -- changing

    async def cancel(self, id: Id) -> Job[Any]:
        """Cancel a job.

        >>> run(app.aio.cancel(ping.enqueue())).state.value
        'cancelled'
        """
        return await self._run(self._app.cancel, id)

    async def retry(self, id: Id, args: Mapping[str, Any] | None = None) -> Job[Any]:
        """Run a job again that has ended or failed.

        >>> run(app.aio.retry(app.cancel(ping.enqueue()))).state.value
        'pending'
        """
        return await self._run(self._app.retry, id, args)

    async def reschedule(self, id: Id, run_at: datetime) -> Job[Any]:
        """Move a waiting job to another time.

        >>> from datetime import UTC
        >>> run(app.aio.reschedule(ping.enqueue(), run_at=datetime(2100, 1, 1, tzinfo=UTC))).state.value
        'scheduled'
        """
        return await self._run(self._app.reschedule, id, run_at)

    async def delete(self, id: Id) -> Job[Any]:
        """Delete a job that does not run.

        >>> job = run(app.aio.delete(ping.enqueue()))
        >>> app.depth()
        0
        """
        return await self._run(self._app.delete, id)

    async def retry_all(
        self,
        *,
        state: States | None = "dead",
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
        args: Mapping[str, Any] | None = None,
    ) -> int:
        """Retry all jobs that match.

        >>> job = app.cancel(ping.enqueue())
        >>> run(app.aio.retry_all(state="cancelled"))
        1
        """
        return await self._long(
            self._app.retry_all, state=state, queue=queue, task=task, tag=tag, error=error, args=args
        )

    async def cancel_all(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
    ) -> int:
        """Cancel all jobs that match.

        >>> job = ping.enqueue()
        >>> run(app.aio.cancel_all(task="ping"))
        1
        """
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
        """Delete all jobs that match.

        >>> job = ping.enqueue()
        >>> run(app.aio.delete_all(state=["pending", "dead"]))
        1
        """
        return await self._long(self._app.delete_all, state=state, queue=queue, task=task, tag=tag, error=error)

    async def purge(self, older_than: Seconds | datetime, states: States = ("completed", "cancelled")) -> int:
        """Delete ended jobs that finished before a time.

        >>> run(app.aio.purge(older_than=3600))
        0
        """
        return await self._long(self._app.purge, older_than, states)

    async def pause(self, queue: str) -> None:
        """Stop claims from a queue.

        >>> run(app.aio.pause("mail"))
        >>> app.queues()[0].paused
        True
        """
        await self._run(self._app.pause, queue)

    async def resume(self, queue: str) -> None:
        """Allow claims from a queue again.

        >>> run(app.aio.resume("mail"))
        """
        await self._run(self._app.resume, queue)

    async def set_queue(
        self,
        name: str,
        *,
        priority: int = 0,
        concurrency: int | None = None,
        rate: Rate | str | None = None,
        paused: bool | None = None,
    ) -> None:
        """Write a queue's settings.

        >>> run(app.aio.set_queue("mail", concurrency=2, rate="10/s"))
        """
        await self._run(self._app.set_queue, name, priority=priority, concurrency=concurrency, rate=rate, paused=paused)

    # -- working without a worker

    async def claim(
        self,
        limit: int = 1,
        queues: Iterable[str] | None = None,
        tasks: Iterable[str | checks.Named] | None = None,
        lease: Seconds = DEFAULT_LEASE,
    ) -> builtins.list[Job[Any]]:
        """Take due jobs to work on them yourself.

        >>> job = ping.enqueue()
        >>> run(app.aio.claim(limit=10))[0].id == job.id
        True
        """
        return await self._run(self._app.claim, limit, queues, tasks, lease)

    async def complete(self, job: Job[R], result: object = None) -> Job[R]:
        """End a claimed job well.

        >>> job = ping.enqueue()
        >>> run(app.aio.complete(app.claim()[0], "done")).result
        'done'
        """
        return await self._run(self._app.complete, job, result)

    async def fail(self, job: Job[R], error: str | BaseException, retry_in: Seconds | None = None) -> Job[R]:
        """End a claimed job's attempt as failed.

        >>> job = ping.enqueue()
        >>> run(app.aio.fail(app.claim()[0], "Timeout: no answer", retry_in=60)).state.value
        'failed'
        """
        return await self._run(self._app.fail, job, error, retry_in)

    async def release(self, job: Job[R]) -> Job[R]:
        """Give a claimed job back.

        >>> job = ping.enqueue()
        >>> run(app.aio.release(app.claim()[0])).state.value
        'pending'
        """
        return await self._run(self._app.release, job)

    async def extend(self, job: Job[R], seconds: Seconds) -> Job[R]:
        """Hold a claimed job for so many seconds from now.

        >>> job = ping.enqueue()
        >>> run(app.aio.extend(app.claim()[0], timedelta(minutes=5))).state.value
        'running'
        """
        return await self._run(self._app.extend, job, seconds)

    # -- the whole

    async def drain(self, *, queues: Iterable[str] | None = None) -> dict[JobState, int]:
        """Run all that is due and claimable until none is left, async handlers on this very loop.

        >>> job = ping.enqueue()
        >>> run(app.aio.drain())[JobState.COMPLETED]
        1
        """
        from millrace.worker import adrain

        counts = await adrain(self._app, queues)
        await self._run(self._app.store.expire)
        return counts

    async def migrate(self) -> Sequence[str]:
        """Create or upgrade the store's schema.

        >>> run(app.aio.migrate())
        []
        """
        return await self._run(self._app.migrate)

    async def open(self) -> None:
        """Open the store again after `close`.

        >>> app.close()
        >>> run(app.aio.open())
        >>> app.depth()
        0
        """
        await self._long(self._app.open)

    async def close(self) -> None:
        """Write what is under way, and give back every thread, connection and file.

        >>> run(app.aio.close())
        """
        await self._long(self._app.close)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
