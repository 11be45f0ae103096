"""What happens to jobs and workers, as typed, frozen records. Pure data; who tells and who hears is elsewhere.

`app.on(…)` hears them in the process where they happen, `app.events(…)` follows them from any process. As JSON
(`msgspec.json.encode`) each carries its name as `event`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from millrace.states import JobState, Reason

__all__ = [
    "AttemptEnd",
    "AttemptEnded",
    "AttemptFailed",
    "AttemptLost",
    "Event",
    "JobCancelled",
    "JobCancelling",
    "JobCompleted",
    "JobDead",
    "JobDeleted",
    "JobDue",
    "JobEnqueued",
    "JobEvent",
    "JobLogged",
    "JobProgress",
    "JobReleased",
    "JobRescheduled",
    "JobRetried",
    "JobSnoozed",
    "JobStarted",
    "LeaseLost",
    "WorkerEvent",
    "WorkerStarted",
    "WorkerStopped",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="event"):
    """Anything that happens. A listener for it hears all there is.

    >>> issubclass(JobCompleted, Event)
    True
    """

    at: datetime  #: when it was, by the store's clock as far as this process knows it


class WorkerEvent(Event, frozen=True, kw_only=True):
    """Something that happens to a worker.

    >>> issubclass(WorkerStarted, WorkerEvent)
    True
    """

    worker: str  #: 16 hexadecimal digits, as `Job.worker` shows it


class WorkerStarted(WorkerEvent, frozen=True, kw_only=True):
    """A worker begins to claim.

    >>> from datetime import UTC
    >>> WorkerStarted(at=datetime(2026, 1, 1, tzinfo=UTC), worker="00000000000000ff").worker
    '00000000000000ff'
    """


class WorkerStopped(WorkerEvent, frozen=True, kw_only=True):
    """A worker has stopped; what it had claimed has ended or was given back.

    >>> issubclass(WorkerStopped, WorkerEvent)
    True
    """


class JobEvent(Event, frozen=True, kw_only=True):
    """Something that happens to a job. A listener for it hears all of a job.

    >>> issubclass(JobLogged, JobEvent)
    True
    """

    job_id: UUID
    task: str
    queue: str
    attempt: int  #: which try, from 1; 0 before the first
    claim: int  #: the number of the claim, which grows with every one; 0 before the first


class JobEnqueued(JobEvent, frozen=True, kw_only=True):
    """A job was stored. Not told of one that was there already.

    >>> from uuid import uuid4
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> event = JobEnqueued(at=at, job_id=uuid4(), task="add", queue="default", attempt=0, claim=0, scheduled_at=at)
    >>> msgspec.json.decode(msgspec.json.encode(event))["event"]
    'JobEnqueued'
    """

    scheduled_at: datetime | None  #: when it is due; None while it waits for other jobs


class JobDue(JobEvent, frozen=True, kw_only=True):
    """A job that waited for its time is pending now. Told by `app.events` alone.

    >>> issubclass(JobDue, JobEvent)
    True
    """


class JobRescheduled(JobEvent, frozen=True, kw_only=True):
    """A waiting job was given another time.

    >>> issubclass(JobRescheduled, JobEvent)
    True
    """

    scheduled_at: datetime | None


class JobRetried(JobEvent, frozen=True, kw_only=True):
    """A job that had ended, or waited for its next try, was made to run again from the first.

    >>> issubclass(JobRetried, JobEvent)
    True
    """


class JobStarted(JobEvent, frozen=True, kw_only=True):
    """An attempt begins.

    >>> issubclass(JobStarted, JobEvent)
    True
    """

    worker: str | None


class JobCancelling(JobEvent, frozen=True, kw_only=True):
    """A running job was asked to stop; how it ends is told by another event.

    >>> issubclass(JobCancelling, JobEvent)
    True
    """


class JobProgress(JobEvent, frozen=True, kw_only=True):
    """A running job says how far it is. What comes quickly one after another is told as one.

    >>> issubclass(JobProgress, JobEvent)
    True
    """

    fraction: float  #: from 0 to 1
    message: str | None = None


class JobLogged(JobEvent, frozen=True, kw_only=True):
    """A line was added to a job's log.

    >>> issubclass(JobLogged, JobEvent)
    True
    """

    level: int  #: as in `logging`: 20 is INFO
    message: str
    data: Mapping[str, Any] = {}


class AttemptEnded(JobEvent, frozen=True, kw_only=True):
    """An attempt has ended, one way or another: `JobCompleted`, `AttemptFailed`, `JobDead` and their like.

    >>> issubclass(AttemptFailed, AttemptEnded)
    True
    """

    worker: str | None = None  #: whose attempt it was; None where the job was cancelled before any
    started_at: datetime | None = None  #: when it was claimed


class JobCompleted(AttemptEnded, frozen=True, kw_only=True):
    """The handler has returned; the job is completed.

    >>> issubclass(JobCompleted, AttemptEnded)
    True
    """


class AttemptFailed(AttemptEnded, frozen=True, kw_only=True):
    """An attempt has failed, and the job waits for its next one. Of the last one is told `JobDead` alone.

    >>> issubclass(AttemptFailed, AttemptEnded)
    True
    """

    error: str | None  #: "Class: message"
    traceback: str | None = None
    retry_at: datetime | None = None
    reason: Reason | None = None


class JobDead(AttemptEnded, frozen=True, kw_only=True):
    """The job has given up: a dead letter.

    >>> issubclass(JobDead, AttemptEnded)
    True
    """

    error: str | None  #: "Class: message"
    traceback: str | None = None
    reason: Reason | None = None


class JobCancelled(AttemptEnded, frozen=True, kw_only=True):
    """The job was stopped on purpose, while it ran or before.

    >>> issubclass(JobCancelled, AttemptEnded)
    True
    """

    error: str | None = None  #: what the attempt ended with, where it had one
    reason: Reason | None = None


class JobSnoozed(AttemptEnded, frozen=True, kw_only=True):
    """The handler has put the job off; that was no try.

    >>> issubclass(JobSnoozed, AttemptEnded)
    True
    """

    scheduled_at: datetime | None


class JobReleased(AttemptEnded, frozen=True, kw_only=True):
    """A worker that stops has given the job back; that was no try.

    >>> issubclass(JobReleased, AttemptEnded)
    True
    """


class AttemptLost(AttemptEnded, frozen=True, kw_only=True):
    """An attempt here has ended whose lease was another's by then: what it did counts for nothing. See `LeaseLost`.

    >>> issubclass(AttemptLost, AttemptEnded)
    True
    """


class LeaseLost(JobEvent, frozen=True, kw_only=True):
    """A worker was lost while it ran a job, and the job was taken back; told by who took it.

    >>> issubclass(LeaseLost, JobEvent)
    True
    """

    worker: str | None  #: the one that was lost
    crashes: int  #: leases that the job has lost by now
    state: JobState  #: pending; or dead, or cancelled, of which then is told as well


class JobDeleted(JobEvent, frozen=True, kw_only=True):
    """A job is gone: it was deleted, or its retention has passed. The latter is told by `app.events` alone.

    >>> issubclass(JobDeleted, JobEvent)
    True
    """


AttemptEnd = JobCompleted | AttemptFailed | JobDead | JobCancelled | JobSnoozed | JobReleased | AttemptLost
