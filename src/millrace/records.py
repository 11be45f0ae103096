"""What a store tells besides jobs: attempts, log lines, pages, queues and workers. Frozen records, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from millrace.clock import to_datetime
from millrace.groups import Pace
from millrace.ids import worker_name
from millrace.job import Job
from millrace.states import JobState, OutcomeKind

__all__ = ["Attempt", "AttemptRow", "LogLine", "LogRow", "Page", "QueueInfo", "WorkerInfo", "WorkerRow"]


class AttemptRow(msgspec.Struct, frozen=True, gc=False):
    """One attempt as a store hands it over; times in microseconds.

    >>> AttemptRow(attempt=1, claim=1, worker=None, started=0, finished=1, outcome=OutcomeKind.FAILED).error is None
    True
    """

    attempt: int
    claim: int
    worker: int | None
    started: int | None
    finished: int
    outcome: OutcomeKind
    error: str | None = None
    traceback: str | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One run of a job that has ended, successes included.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> Attempt(1, 1, None, at, at, OutcomeKind.COMPLETED).outcome.value
    'completed'
    """

    attempt: int  #: which try it was, from 1
    claim: int  #: the claim it ran under
    worker: str | None  #: who ran it, 16 hexadecimal digits
    started_at: datetime | None
    finished_at: datetime
    outcome: OutcomeKind
    error: str | None = None  #: "Class: message"
    traceback: str | None = None

    @classmethod
    def of(cls, row: AttemptRow) -> Attempt:
        """Build the record from a store's row."""
        return cls(
            row.attempt,
            row.claim,
            None if row.worker is None else worker_name(row.worker),
            None if row.started is None else to_datetime(row.started),
            to_datetime(row.finished),
            row.outcome,
            row.error,
            row.traceback,
        )


class LogRow(msgspec.Struct, frozen=True, gc=False):
    """One log line on its way into or out of a store. `ref`, `id` and `claim` name the attempt that wrote it.

    >>> LogRow(ref=1, id=bytes(16), claim=1, at=0, level=20, message="hello").level
    20
    """

    ref: int
    id: bytes
    claim: int
    at: int
    level: int
    message: str
    data: bytes | None = None
    attempt: int = 0


class LogLine(msgspec.Struct, frozen=True):
    """A line that a handler logged with `current_job().log`.

    >>> from datetime import UTC
    >>> LogLine(datetime(2026, 1, 1, tzinfo=UTC), 20, "hello", 1, 1).message
    'hello'
    """

    at: datetime
    level: int  #: as in `logging`: 20 is INFO
    message: str
    attempt: int
    claim: int
    data: Mapping[str, Any] = {}  #: the keyword arguments of the log call

    @classmethod
    def of(cls, row: LogRow) -> LogLine:
        """Build the record from a store's row."""
        data: dict[str, Any] = {} if row.data is None else msgspec.json.decode(row.data)
        return cls(to_datetime(row.at), row.level, row.message, row.attempt, row.claim, data)


class Page(msgspec.Struct, frozen=True):
    """One page of jobs, newest first. Iterating a page gives its jobs.

    >>> list(Page([], None))
    []
    """

    jobs: list[Job[Any]]
    next_cursor: str | None  #: give it to the next `list` call; None on the last page

    def __iter__(self) -> Iterator[Job[Any]]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue's settings and how many jobs it holds by state; settings at their defaults where it has none.

    >>> QueueInfo("mail").paused
    False
    """

    name: str
    priority: int = 0
    paused: bool = False
    concurrency: int | None = None  #: at most so many running jobs over all workers
    counts: Mapping[JobState, int] = {}
    pace: Pace | None = None  #: its rate as stores know it

    @property
    def rate(self) -> str | None:
        """How many of its jobs may begin in a time, such as "100/m"; None is no limit.

        >>> QueueInfo("mail", pace=Pace(100, 60_000_000)).rate
        '100/m'
        """
        return None if self.pace is None else self.pace.text


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker's entry in the register. `info` is JSON: host, pid, queues, concurrency, what it runs.

    >>> WorkerRow(1, "host:42", 0, 0, b"{}").name
    'host:42'
    """

    id: int
    name: str
    started: int
    seen: int
    info: bytes

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks that it says it runs.

        >>> WorkerRow(1, "host:42", 0, 0, b'{"tasks":["add"]}').tasks
        frozenset({'add'})
        """
        info: dict[str, Any] = msgspec.json.decode(self.info)
        return frozenset(map(str, info.get("tasks") or ()))


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker that has reported itself.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> WorkerInfo("00000000000000ff", "host:42", at, at).name
    'host:42'
    """

    id: str  #: 16 hexadecimal digits, as `Job.worker` shows it
    name: str  #: host:pid, for people
    started_at: datetime
    seen_at: datetime  #: its last sign of life
    info: Mapping[str, Any] = {}

    @classmethod
    def of(cls, row: WorkerRow) -> WorkerInfo:
        """Build the record from a store's row."""
        info: dict[str, Any] = msgspec.json.decode(row.info)
        return cls(worker_name(row.id), row.name, to_datetime(row.started), to_datetime(row.seen), info)
