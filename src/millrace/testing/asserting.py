"""Assertions about jobs. Owns how a call is compared with stored arguments; changes nothing in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from millrace.codec import Arguments
from millrace.job import Job

if TYPE_CHECKING:
    from millrace.task import Task

__all__ = ["assert_enqueued"]

_SHOWN = 5


def assert_enqueued(
    task: Task[..., Any], args: Mapping[str, Any] | None = None, *, queue: str | None = None
) -> Job[Any]:
    """Fail unless a job of the task is in the store of its app, whatever has become of it; return the newest.

    Args:
        task: The task, as `@app.task` made it.
        args: Its arguments by parameter name, as the types of the annotations or as JSON values; what is left out must
            have been left out, or have its default. None is any arguments.
        queue: The queue that it must be in; None is any.

    Raises:
        AssertionError: There is none. The text shows the jobs of the task that there are.
        PayloadError: `args` do not fit the task.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... def add(a: int, b: int = 1) -> int:
    ...     return a + b
    >>> job = add.enqueue(2)
    >>> assert_enqueued(add, args={"a": 2, "b": 1}) == job
    True
    """
    __tracebackhide__ = True  # pytest then shows the caller's line
    codec = task.spec.arguments
    wanted = None if args is None else codec.encode_named(args, task.app.max_payload)
    others: list[Job[Any]] = []
    for job in task.app.iter(task=task.name):
        if (queue is None or job.queue == queue) and (wanted is None or _same_call(codec, job.row.args, wanted)):
            return job
        others.append(job)
    raise AssertionError(_told(task.name, args, queue, others))


def _same_call(codec: Arguments, given: bytes, wanted: bytes) -> bool:
    """Compare two calls with defaults applied, as the handler would see them; else as plain JSON."""
    if msgspec.json.decode(given) == msgspec.json.decode(wanted):
        return True
    return bool(codec.decode(given) == codec.decode(wanted))


def _told(name: str, args: Mapping[str, Any] | None, queue: str | None, others: list[Job[Any]]) -> str:
    what = "" if args is None else f" with args {dict(args)!r}"
    where = "" if queue is None else f" in queue {queue!r}"
    if not others:
        return f"no job of {name!r} was enqueued"
    lines = [f"  {job.args!r} in queue {job.queue!r}, {job.state}" for job in others[:_SHOWN]]
    more = [f"  and {len(others) - _SHOWN} more"] if len(others) > _SHOWN else []
    return "\n".join([f"no job of {name!r}{what}{where} was enqueued; there are, newest first:", *lines, *more])
