"""A job as it was stored, made of its row and what the store told. Pure, and on the hot path of `enqueue`."""

from __future__ import annotations

from typing import Any

from millrace.job import Job, JobOrigin, JobRow
from millrace.messages import NewRow
from millrace.queued import Told
from millrace.states import JobState

__all__ = ["stored"]

_PENDING, _SCHEDULED = JobState.PENDING, JobState.SCHEDULED


def stored(row: NewRow, told: Told, origin: JobOrigin) -> Job[Any]:
    """Make the job of a row from what the store told about it."""
    if not isinstance(told, int):
        return Job(told.row, origin, duplicate=told.by_key)
    due = told + row.delay if row.due is None else row.due
    return Job(
        JobRow(
            0, row.id, row.task, row.queue, row.args, _PENDING if due <= told else _SCHEDULED, row.priority, due, told,
            0, row.max_attempts, 0, 0, row.max_crashes,
            unique_key=row.unique_key, tags=row.tags, options=row.options, group=row.group,
        ),
        origin,
    )  # fmt: skip
