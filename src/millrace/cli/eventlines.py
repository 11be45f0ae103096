"""What an event of a job looks like as one line. Owns the words and their columns; follows nothing.

A terminal gets the time of day and the end of the job's id, a file or pipe both in full, as in a worker's log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from logging import getLevelName

import click
import msgspec

from millrace.cli.output import flat, state_colour
from millrace.cli.times import seconds_text, until
from millrace.events import (
    AttemptFailed,
    AttemptLost,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobDead,
    JobDeleted,
    JobDue,
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

__all__ = ["EVENT_WORDS", "event_line"]

EVENT_WORDS: dict[type[JobEvent], str] = {
    JobEnqueued: "enqueued",
    JobDue: "due",
    JobRescheduled: "rescheduled",
    JobRetried: "retried",
    JobStarted: "started",
    JobCancelling: "cancelling",
    JobProgress: "progress",
    JobLogged: "log",
    JobCompleted: "completed",
    AttemptFailed: "failed",
    JobDead: "dead",
    JobCancelled: "cancelled",
    JobSnoozed: "snoozed",
    JobReleased: "released",
    AttemptLost: "lost",
    LeaseLost: "lease lost",
    JobDeleted: "deleted",
}
_WIDEST = max(map(len, EVENT_WORDS.values()))
_SHORT = 8  # of an id, from its end: ids made together begin alike
_COLOURS = {"started": "cyan", "lost": "magenta", "lease lost": "magenta"}
_LEVEL_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def event_line(event: JobEvent, *, terminal: bool) -> str:
    """Write one event: when, which job, its task, what has happened, and what there is to say of it.

    Args:
        event: What has happened.
        terminal: Whether a terminal reads it.

    >>> from uuid import UUID
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> event = JobProgress(
    ...     at=at, job_id=UUID(int=1), task="add", queue="default", attempt=1, claim=1, fraction=0.5, message="half"
    ... )
    >>> event_line(event, terminal=False)
    '2026-01-01T00:00:00.000Z  00000000-0000-0000-0000-000000000001  progress     add  50% half'
    """
    word = EVENT_WORDS[type(event)]
    id = str(event.job_id)
    shown = f"{word:<{_WIDEST}}"
    colour = state_colour(word) or _COLOURS.get(word)
    columns = (
        _time(event.at, terminal=terminal),
        id[-_SHORT:] if terminal else id,
        click.style(shown, fg=colour) if colour else shown,
        flat(event.task),
        _said(event),
    )
    return "  ".join(columns).rstrip()


def _time(at: datetime, *, terminal: bool) -> str:
    if terminal:
        return f"{at.astimezone():%H:%M:%S}"
    there = at.astimezone(UTC)
    return f"{there:%Y-%m-%dT%H:%M:%S}.{there.microsecond // 1000:03d}Z"


def _said(event: JobEvent) -> str:
    """Say what there is to say of an event beside its name."""
    match event:
        case JobEnqueued():
            due = "" if event.scheduled_at is None or event.scheduled_at <= event.at else ", due " + _due(event)
            return f"in {flat(event.queue)}{due}"
        case JobRescheduled() | JobSnoozed():
            return f"due {_due(event)}"
        case JobStarted():
            return f"try {event.attempt}" + ("" if event.worker is None else f", worker {event.worker}")
        case JobProgress():
            return f"{event.fraction:.0%} {flat(event.message or '')}".rstrip()
        case JobLogged():
            return _log(event)
        case JobCompleted():
            return "" if event.started_at is None else f"took {seconds_text(_since(event.started_at, event.at))}"
        case AttemptFailed():
            again = "" if event.retry_at is None else f"; again {until(event.retry_at, event.at)}"
            return f"try {event.attempt}: {flat(event.error or 'no error is known')}{again}"
        case JobDead() | JobCancelled():
            reason = "" if event.reason is None or event.reason == EVENT_WORDS[type(event)] else event.reason.value
            return flat(event.error or reason)
        case LeaseLost():
            return f"worker {event.worker or 'unknown'} was lost; {event.crashes} so far, the job is {event.state}"
        case _:
            return ""


def _due(event: JobEnqueued | JobRescheduled | JobSnoozed) -> str:
    return "once other jobs have ended" if event.scheduled_at is None else until(event.scheduled_at, event.at)


def _since(began: datetime, at: datetime) -> float:
    return max((at - began).total_seconds(), 0.0)


def _log(event: JobLogged) -> str:
    level = getLevelName(event.level)
    colour = _LEVEL_COLOURS.get(level)
    data = "".join(f" {name}={msgspec.json.encode(value).decode()}" for name, value in event.data.items())
    return f"{click.style(level, fg=colour) if colour else level} {flat(event.message + data)}"
