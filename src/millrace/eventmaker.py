"""Events made of what the stores tell: rows, outcomes, rescues. Owns which event says what; tells them to nobody."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

import msgspec

from millrace.clock import to_datetime
from millrace.events import (
    AttemptEnd,
    AttemptFailed,
    AttemptLost,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobDead,
    JobDeleted,
    JobEnqueued,
    JobEvent,
    JobLogged,
    JobProgress,
    JobReleased,
    JobRescheduled,
    JobRetried,
    JobSnoozed,
    JobStarted,
    LeaseLost,
)
from millrace.ids import worker_name
from millrace.job import HELD, JobRow, Progress
from millrace.messages import NewRow, Rescued
from millrace.outcome import Outcome
from millrace.records import AttemptRow, LogRow
from millrace.states import JobState, OutcomeKind, Reason

__all__ = [
    "about",
    "cancelled",
    "deleted",
    "ended",
    "ended_attempt",
    "enqueued",
    "enqueued_row",
    "logged",
    "lost",
    "named",
    "progressed",
    "released",
    "rescheduled",
    "rescued",
    "retried",
    "started",
    "time_of",
]


class _About(TypedDict):
    at: Any
    job_id: UUID
    task: str
    queue: str
    attempt: int
    claim: int


class _Tried(_About):
    worker: str | None
    started_at: Any


def time_of(at: int | None) -> Any:
    """Return a time as users see it.

    >>> time_of(None) is None
    True
    """
    return None if at is None else to_datetime(at)


def named(worker: int | None) -> str | None:
    """Return a worker's number as users see it.

    >>> named(255)
    '00000000000000ff'
    """
    return None if worker is None else worker_name(worker)


def about(row: JobRow, at: int) -> _About:
    """Return what every event of a job says."""
    return {
        "at": to_datetime(at), "job_id": UUID(bytes=row.id), "task": row.task, "queue": row.queue,
        "attempt": row.attempt, "claim": row.claim,
    }  # fmt: skip


def _due_at(due: int | None) -> datetime | None:
    """Return a due time; None where parents hold the job."""
    return None if due is not None and due >= HELD else time_of(due)


def _tried(row: JobRow, at: int) -> _Tried:
    return {**about(row, at), "worker": named(row.worker), "started_at": time_of(row.started)}


def enqueued(row: JobRow) -> JobEnqueued:
    """Tell that a job was stored."""
    first: _About = {**about(row, row.created), "attempt": 0, "claim": 0}
    return JobEnqueued(**first, scheduled_at=_due_at(row.due))


def enqueued_row(row: NewRow, now: int) -> JobEnqueued:
    """Tell the same of a row that was stored at `now`."""
    return JobEnqueued(
        at=to_datetime(now), job_id=UUID(bytes=row.id), task=row.task, queue=row.queue, attempt=0, claim=0,
        scheduled_at=_due_at(now + row.delay if row.due is None else row.due),
    )  # fmt: skip


def started(row: JobRow, at: int) -> JobStarted:
    """Tell that an attempt begins."""
    return JobStarted(**about(row, at), worker=named(row.worker))


def progressed(row: JobRow, at: int, progress: Progress) -> JobProgress:
    """Tell how far a job is."""
    return JobProgress(**about(row, at), fraction=progress.fraction, message=progress.message)


def logged(row: JobRow, line: LogRow) -> JobLogged:
    """Tell a line of a job's log."""
    of_line: _About = {**about(row, line.at), "attempt": line.attempt, "claim": line.claim}
    data: dict[str, Any] = {} if line.data is None else msgspec.json.decode(line.data)
    return JobLogged(**of_line, level=line.level, message=line.message, data=data)


def lost(row: JobRow, at: int) -> AttemptLost:
    """Tell that an attempt has ended whose lease was another's."""
    return AttemptLost(**_tried(row, at))


def ended(row: JobRow, outcome: Outcome, at: int, state: JobState | None = None) -> AttemptEnd:
    """Tell how an attempt has ended.

    Args:
        row: The job as it was claimed.
        outcome: What was written.
        at: When, in microseconds.
        state: What the job came to, where a cancel that was asked for won over the outcome.
    """
    tried = _tried(row, at)
    error = outcome.error
    text, more = (None, None) if error is None else (error.text, error.traceback)
    if state is JobState.CANCELLED and outcome.kind is not OutcomeKind.CANCELLED:
        return JobCancelled(**tried, error=text, reason=Reason.CANCELLED)
    again = time_of(at + (outcome.delay or 0))
    match outcome.kind:
        case OutcomeKind.COMPLETED:
            return JobCompleted(**tried)
        case OutcomeKind.FAILED:
            return AttemptFailed(**tried, error=text, traceback=more, retry_at=again, reason=outcome.reason)
        case OutcomeKind.DEAD:
            return JobDead(**tried, error=text, traceback=more, reason=outcome.reason)
        case OutcomeKind.CANCELLED:
            return JobCancelled(**tried, error=text, reason=outcome.reason)
        case OutcomeKind.SNOOZED:
            return JobSnoozed(**tried, scheduled_at=again)
        case OutcomeKind.RELEASED:
            return JobReleased(**tried)
        case OutcomeKind.LEASE_LOST:
            return AttemptLost(**tried)


def cancelled(row: JobRow, at: int) -> JobCancelled | JobCancelling:
    """Tell that a job was cancelled; where it runs, that it was asked to stop."""
    if row.state is JobState.CANCELLING:
        return JobCancelling(**about(row, at))
    return JobCancelled(**about(row, at), error=row.error, reason=Reason.CANCELLED)


def retried(row: JobRow, at: int) -> JobRetried:
    """Tell that a job runs again from the first."""
    return JobRetried(**about(row, at))


def rescheduled(row: JobRow, at: int) -> JobRescheduled:
    """Tell that a waiting job has another time."""
    return JobRescheduled(**about(row, at), scheduled_at=_due_at(row.due))


def deleted(row: JobRow, at: int) -> JobDeleted:
    """Tell that a job is gone."""
    return JobDeleted(**about(row, at))


def released(row: JobRow, at: int) -> JobReleased:
    """Tell that a job was given back."""
    return JobReleased(**_tried(row, at))


def ended_attempt(row: JobRow, end: AttemptRow, state: JobState | None, crashes: int) -> list[JobEvent]:
    """Tell how an attempt has ended, from a job's history.

    Args:
        row: The job, as it was in that attempt.
        end: How it has ended.
        state: What the job came to for good with it; None: nothing, as far as is known.
        crashes: How many leases the job had lost by then.
    """
    tried = _tried(row, end.finished)
    if end.outcome is OutcomeKind.LEASE_LOST:
        lost = Rescued(row.id, row.task, row.queue, row.claim, row.worker, state or JobState.PENDING, crashes)
        return list(rescued(lost, row, end.finished))
    if state is JobState.CANCELLED or end.outcome is OutcomeKind.CANCELLED:
        reason = Reason.PARENT if row.reason is Reason.PARENT else Reason.CANCELLED
        return [JobCancelled(**tried, error=end.error, reason=reason)]
    match end.outcome:
        case OutcomeKind.COMPLETED:
            return [JobCompleted(**tried)]
        case OutcomeKind.DEAD:
            return [JobDead(**tried, error=end.error, traceback=end.traceback, reason=row.reason if state else None)]
        case OutcomeKind.FAILED:
            again = time_of(row.due) if row.state is JobState.FAILED else None
            return [AttemptFailed(**tried, error=end.error, traceback=end.traceback, retry_at=again)]
        case OutcomeKind.SNOOZED:
            again = time_of(row.due) if row.state is JobState.SCHEDULED else None
            return [JobSnoozed(**tried, scheduled_at=again)]
        case _:
            return [JobReleased(**tried)]


def rescued(each: Rescued, row: JobRow | None, at: int) -> list[JobEvent]:
    """Tell that a lost lease was taken back, and where the job has ended with it, that too.

    Args:
        each: What the store told.
        row: The job as it now is, None where it is gone.
        at: When, in microseconds.
    """
    base: _About = {
        "at": to_datetime(at), "job_id": UUID(bytes=each.id), "task": each.task, "queue": each.queue,
        "attempt": 0 if row is None else row.attempt, "claim": each.claim,
    }  # fmt: skip
    worker, error = named(each.worker), None if row is None else row.error
    events: list[JobEvent] = [LeaseLost(**base, worker=worker, crashes=each.crashes, state=each.state)]
    if each.state is JobState.DEAD:
        events.append(JobDead(**base, worker=worker, error=error, reason=Reason.CRASHED))
    elif each.state is JobState.CANCELLED:
        events.append(JobCancelled(**base, worker=worker, error=error, reason=Reason.CANCELLED))
    return events
