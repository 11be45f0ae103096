"""Running jobs in the call that stores them. Owns what an eager app does after each enqueue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.job import Job

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["arun_due", "run_due"]


def run_due(app: Millrace, job: Job[Any]) -> Job[Any]:
    """Run all that is due in this thread, and return `job` as it then is.

    A failure is recorded on the job and never raised. A job that is not to be kept is shown as it was stored.
    """
    app.drain()
    return _as_it_is(app, job)


async def arun_due(app: Millrace, job: Job[Any]) -> Job[Any]:
    """Do as `run_due` does from async code: async handlers run on the running loop."""
    await app.aio.drain()
    return await app.bridge.call(_as_it_is, app, job)


def _as_it_is(app: Millrace, job: Job[Any]) -> Job[Any]:
    row = app.store.get([job.row.id])[0]
    return job if row is None else Job(row, app, duplicate=job.duplicate)
