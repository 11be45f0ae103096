"""The context of a task that is called as a plain function. Owns an attempt that no store knows: it only logs."""

from __future__ import annotations

import logging
from typing import Any

from millrace.context import JobContext
from millrace.errors import ConfigurationError
from millrace.ids import new_id
from millrace.job import Job, JobRow, Progress
from millrace.registry import TaskSpec
from millrace.states import JobState

__all__ = ["detached_context"]

_logger = logging.getLogger("millrace.job")


class _Detached:
    """An attempt that runs because its function was called: nothing of it is stored, and nobody stops it."""

    def __init__(self, spec: TaskSpec) -> None:
        row = JobRow(
            0,
            new_id(),
            spec.name,
            spec.queue,
            b"{}",
            JobState.RUNNING,
            attempt=1,
            max_attempts=spec.max_attempts,
            claim=1,
        )
        self.job: Job[Any] = Job(row)
        self.context = JobContext(self)

    def stop_error(self) -> Exception | None:
        return None

    def log(self, level: int, message: str, data: dict[str, Any]) -> None:
        _logger.log(level, "%s: %s%s", self.job.task, message, f" {data}" if data else "")

    def progress(self, progress: Progress) -> None:
        pass

    def partial(self, result: bytes) -> None:
        pass

    def extend(self, seconds: float) -> None:
        pass

    def complete(self, result: bytes | None, connection: Any) -> None:
        raise ConfigurationError(
            f"{self.job.task} was called as a plain function, so there is no job to complete on {connection!r} with "
            f"{result!r}; enqueue it and let app.drain() run it"
        )

    async def acomplete(self, result: bytes | None, connection: Any) -> None:
        self.complete(result, connection)


def detached_context(spec: TaskSpec) -> JobContext:
    """Make a context for a direct call outside a job: it logs to `logging`, and keeps nothing.

    >>> detached_context(TaskSpec("ping", print, run_in="thread")).attempt
    1
    """
    return _Detached(spec).context
