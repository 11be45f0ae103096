"""The schedules of an app, awaitable: `app.aio.schedules`. Owns one line for each verb; its sync form does the work."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from millrace.job import Job
from millrace.newjob import NewJob
from millrace.schedule import Overlap, Schedule
from millrace.schedules import Schedules
from millrace.ticking import CatchUp

__all__ = ["AsyncSchedules"]


class AsyncSchedules:
    """Each verb of `app.schedules` under the same name and with the same arguments, awaitable.

    Args:
        schedules: The app's.
        run: Runs a verb on the store thread.
        long: Runs one in a thread of its own.

    In the examples of the verbs `app` is a `Millrace("memory://")` with the task `ping`, and `run` is `asyncio.run`.

    >>> import asyncio
    >>> from millrace import Millrace
    >>> async def main() -> int:
    ...     async with Millrace("memory://") as app:
    ...         return len(await app.aio.schedules.list())
    >>> asyncio.run(main())
    0
    """

    def __init__(
        self,
        schedules: Schedules,
        run: Callable[..., Coroutine[Any, Any, Any]],
        long: Callable[..., Coroutine[Any, Any, Any]],
    ) -> None:
        self._schedules, self._run, self._long = schedules, run, long

    async def put(
        self,
        name: str,
        *,
        job: NewJob,
        cron: str | None = None,
        every: float | timedelta | None = None,
        timezone: str = "UTC",
        catch_up: CatchUp = "latest",
        overlap: Overlap = "allow",
        jitter: float | timedelta = 0.0,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Schedule:
        """Write a schedule, new or known.

        >>> run(app.aio.schedules.put("tidy", every=60, job=ping.job())).words
        'Every minute'
        """

        def put() -> Schedule:
            return self._schedules.put(
                name, job=job, cron=cron, every=every, timezone=timezone, catch_up=catch_up, overlap=overlap,
                jitter=jitter, start=start, end=end,
            )  # fmt: skip

        done: Schedule = await self._run(put)
        return done

    async def list(self) -> builtins.list[Schedule]:
        """Read all schedules, by name.

        >>> [each.name for each in run(app.aio.schedules.list())]
        []
        """
        found: builtins.list[Schedule] = await self._run(self._schedules.list)
        return found

    async def get(self, name: str) -> Schedule:
        """Read one.

        >>> made = app.schedules.put("tidy", every=60, job=ping.job())
        >>> run(app.aio.schedules.get("tidy")).every
        60.0
        """
        found: Schedule = await self._run(self._schedules.get, name)
        return found

    async def pause(self, name: str) -> Schedule:
        """Let a schedule tick no more until it is resumed.

        >>> made = app.schedules.put("tidy", every=60, job=ping.job())
        >>> run(app.aio.schedules.pause("tidy")).paused
        True
        """
        done: Schedule = await self._run(self._schedules.pause, name)
        return done

    async def resume(self, name: str) -> Schedule:
        """Let a schedule tick again.

        >>> made = app.schedules.put("tidy", every=60, job=ping.job())
        >>> run(app.aio.schedules.resume("tidy")).paused
        False
        """
        done: Schedule = await self._run(self._schedules.resume, name)
        return done

    async def delete(self, name: str) -> None:
        """Delete a schedule; jobs that it has made stay.

        >>> made = app.schedules.put("tidy", every=60, job=ping.job())
        >>> run(app.aio.schedules.delete("tidy"))
        """
        await self._run(self._schedules.delete, name)

    async def run_now(self, name: str) -> Job[Any]:
        """Enqueue a schedule's job now; its ticks come as before.

        >>> made = app.schedules.put("tidy", every=60, job=ping.job())
        >>> run(app.aio.schedules.run_now("tidy")).task
        'ping'
        """
        # Not on the store thread: an insert there may wait for its turn, which that very thread has to pass on.
        job: Job[Any] = await self._long(self._schedules.run_now, name)
        return job
