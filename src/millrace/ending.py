"""How waiting for a job ends. Owns the result, or the error that stands for it; waits for nothing itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from millrace.errors import JobFailed, WaitTimeout
from millrace.job import Job, JobRow
from millrace.registry import Registry
from millrace.states import JobState

__all__ = ["result_of", "still_going"]


def result_of(job: Job[Any], registry: Registry) -> Any:
    """Return the result of a job that has ended, as the type its task is annotated with where the task is known.

    Raises:
        JobFailed: It ended dead or cancelled.
    """
    row = job.row
    if row.state is not JobState.COMPLETED:
        why = job.error or (str(row.reason) if row.reason else "no error is recorded")
        raise JobFailed(
            f"job {job.id} ({row.task}) is {row.state}: {why}; app.attempts(id) tells all, app.retry(id) tries again",
            job,
        )
    if row.result is None:
        return None
    spec = registry.get(row.task)
    return job.result if spec is None else spec.read_result(row.result)


def still_going(row: JobRow, timeout: float | None) -> WaitTimeout:
    """Make the error for a job that had not ended in time."""
    return WaitTimeout(
        f"job {UUID(bytes=row.id)} ({row.task}) had not ended after {timeout or 0:g} s; when the waiting began it was "
        f"{row.state}. It goes on: wait again, or see whether a worker runs that knows its task and queue"
    )
