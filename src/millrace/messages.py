"""What goes into a store and what comes out: the records of `store.Store`. Pure data, no I/O.

Times are microseconds, payloads JSON bytes, ids 16 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from millrace.groups import Pace
from millrace.job import JobRow, Progress
from millrace.states import JobState

__all__ = [
    "CHANGES",
    "Beat",
    "Changed",
    "ClaimRequest",
    "Conflict",
    "Existing",
    "Finding",
    "InsertAnswer",
    "JobFilter",
    "NewRow",
    "QueueSettings",
    "Rescued",
    "StepAnswer",
    "Waiting",
    "empty_counts",
]


#: What becomes of a job whose unique key is held: the holder is told as it is; or, while it waits, it gets the new
#: arguments ("replace"), and the new due time too ("debounce"); or nothing of the whole call is written ("reject").
Conflict = Literal["return", "replace", "debounce", "reject"]
CHANGES: frozenset[Conflict] = frozenset({"replace", "debounce"})  #: those that change the holder


class NewRow(msgspec.Struct, frozen=True, gc=False):
    """A job to insert. Due at `due` (absolute microseconds) where given, else `delay` microseconds from now.

    `group` tells the limits that it falls under, see `groups.read_group`; nearly all jobs have none.

    >>> NewRow(id=bytes(16), task="add", queue="default", args=b"{}").max_attempts
    5
    """

    id: bytes
    task: str
    queue: str
    args: bytes
    priority: int = 0
    delay: int = 0
    due: int | None = None
    max_attempts: int = 5
    max_crashes: int = 3
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    options: bytes | None = None
    on_conflict: Conflict = "return"
    group: str | None = None


class Existing(msgspec.Struct, frozen=True):
    """What stood in the way of one insert: the holder of its unique key (`by_key`), or the job of the same id.

    It is told as it is after the call, in which it may have been changed.
    """

    row: JobRow
    by_key: bool


class InsertAnswer(msgspec.Struct, frozen=True):
    """When the rows went in, and by index those that did not, with the job that is there instead.

    Where `refused` is the index of a row that rejects, nothing was written but the first `kept` rows (of a call that is
    larger than what the store writes at once), and `existing` tells the holder of its key.
    """

    now: int
    existing: Mapping[int, Existing] = {}
    refused: int | None = None
    unknown: tuple[int, bytes] | None = None  #: where nothing was written: a row, and the parent that it names in vain
    kept: int = 0  #: beside `refused`: how many of the first rows were written all the same


class ClaimRequest(msgspec.Struct, frozen=True):
    """Claim up to `limit` due jobs for one worker.

    Attributes:
        limit: At most so many, 1 to 1,000.
        queues: From these queues only; None: from all. Queues of a higher priority come first, equal ones take turns:
            of two that have jobs, both are served within two claims, each in its own order.
        tasks: Of these tasks only; None: of any, known to the caller or not.
        lease: How long the lease lasts, in microseconds, for tasks not in `leases` and jobs without their own.
        leases: The lease in microseconds by task name. A job's own `options.lease` (seconds) wins over both.
    """

    limit: int
    queues: tuple[str, ...] | None = None
    tasks: frozenset[str] | None = None
    lease: int = 30_000_000
    leases: Mapping[str, int] = {}


class StepAnswer(msgspec.Struct, frozen=True):
    """What one step did.

    Attributes:
        now: The store's time of the step.
        claimed: The jobs claimed, in order.
        lost: Indices of the outcomes that were refused, because the claim was no longer the worker's.
        resulting: By index, the state of an outcome that ended otherwise than it asked: a cancel won.
        room_at: When a job that only a rate has held back may be claimed, by the store's time; None: there is none.
    """

    now: int
    claimed: Sequence[JobRow] = ()
    lost: frozenset[int] = frozenset()
    resulting: Mapping[int, JobState] = {}
    room_at: int | None = None


class Beat(msgspec.Struct, frozen=True, gc=False):
    """A sign of life of one attempt: `lease` microseconds from now (None leaves it), and what there is to tell."""

    ref: int
    id: bytes
    claim: int
    lease: int | None = None
    progress: Progress | None = None
    result: bytes | None = None


class Rescued(msgspec.Struct, frozen=True, gc=False):
    """A lost lease taken back: the claim and worker that lost it, and the state the job went to."""

    id: bytes
    task: str
    queue: str
    claim: int
    worker: int | None
    state: JobState
    crashes: int


class Changed(msgspec.Struct, frozen=True):
    """What a verb did to one job.

    Attributes:
        row: The job as it now is (for `delete`: as it was); None where there is no such job.
        changed: False where its state was not among those asked for.
        holder: For `retry`: the job that holds the unique key, which stopped it.
    """

    row: JobRow | None
    changed: bool
    holder: JobRow | None = None


class JobFilter(msgspec.Struct, frozen=True):
    """Which jobs: all that match every field given. `error` is the class name of the last error.

    >>> JobFilter(states=frozenset({JobState.DEAD})).queue is None
    True
    """

    states: frozenset[JobState] | None = None
    queue: str | None = None
    task: str | None = None
    tag: str | None = None
    unique_key: str | None = None
    error: str | None = None


class QueueSettings(msgspec.Struct, frozen=True):
    """A queue's settings to write; None leaves `paused` as it is, and means "no limit" for the other two."""

    priority: int = 0
    concurrency: int | None = None
    paused: bool | None = None
    rate: Pace | None = None


class Waiting(msgspec.Struct, frozen=True):
    """What waits for a worker in one queue for one task: how many jobs, and the earliest due time, in microseconds.

    >>> Waiting("mail", "send", 3, 1_500_000).number
    3
    """

    queue: str
    task: str
    number: int
    since: int


class Finding(msgspec.Struct, frozen=True):
    """One line of `doctor`: how bad ("ok", "note", "warning", "error"), about what, the sentence."""

    level: str
    subject: str
    text: str


def empty_counts() -> dict[JobState, int]:
    """Return a count of 0 for each of the eight states.

    >>> len(empty_counts())
    8
    """
    return dict.fromkeys(JobState, 0)
