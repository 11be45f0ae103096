"""A job: the row as stores hand it over, and the frozen record that users hold. Pure, no I/O of its own.

`JobRow` keeps times as integers and payloads as JSON bytes, so that a worker may move thousands a second. `Job` is a
view of one row: it turns times, ids and payloads into Python values when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from millrace.clock import to_datetime
from millrace.errors import ConfigurationError
from millrace.ids import worker_name
from millrace.states import JobState, Reason

__all__ = ["HELD", "Job", "JobOrigin", "JobRow", "Progress"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_decode = msgspec.json.Decoder().decode

#: The due time of a job that waits for its parents, in microseconds: beyond the year 9999, so that it never comes.
HELD = 1 << 58


class Progress(msgspec.Struct, frozen=True):
    """How far a running job says it is.

    >>> Progress(0.4, "parsing").fraction
    0.4
    """

    fraction: float  #: from 0 to 1
    message: str | None = None


class JobRow(msgspec.Struct, frozen=True, gc=False):
    """One job as a store hands it over. Times are microseconds, payloads JSON bytes, ids 16 bytes.

    `ref` is the store's own handle, opaque to all others. `due` is `HELD` or more while parents hold the job.
    `error` is the text of the last attempt that ended badly, `result` JSON or None. `options` is JSON for
    `options.read_options`.
    `group` is for `groups.read_group`: told by claims and exports, by other reads only where it lies in the job's row.

    >>> JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}").state
    <JobState.PENDING: 'pending'>
    """

    ref: int
    id: bytes
    task: str
    queue: str
    args: bytes
    state: JobState = JobState.PENDING
    priority: int = 0
    due: int | None = 0
    created: int = 0
    attempt: int = 0
    max_attempts: int = 5
    claim: int = 0
    crashes: int = 0
    max_crashes: int = 3
    rev: int = 0
    worker: int | None = None
    lease: int | None = None
    started: int | None = None
    finished: int | None = None
    expires: int | None = None
    reason: Reason | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    options: bytes | None = None
    progress: Progress | None = None
    result: bytes | None = None
    error: str | None = None
    batch: bytes | None = None
    group: str | None = None


class JobOrigin(Protocol):
    """The app a job came from, as far as a job needs it."""

    def refreshed(self, job: Job[R]) -> Job[R]:
        """Read the job again."""
        ...

    async def arefreshed(self, job: Job[R]) -> Job[R]:
        """Read the job again, awaitable."""
        ...

    def waited(self, job: Job[R], timeout: float | timedelta | None) -> Job[R]:
        """Wait until the job has ended."""
        ...


class Job(Generic[R_co]):
    """A frozen record of one job as it was when read. Reading an attribute never does I/O.

    Attributes come from the row; see each property. `job.refresh()` gives a new record, this one never changes.

    >>> job = Job(JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b'{"a":2,"b":3}'))
    >>> job.args, job.state.value, job.attempt
    ({'a': 2, 'b': 3}, 'pending', 0)
    """

    __slots__ = ("_args", "_origin", "_row", "duplicate")

    _args: Mapping[str, Any]
    _origin: JobOrigin | None
    _row: JobRow
    duplicate: bool  #: true where `enqueue` returned the job that already held the unique key

    def __init__(self, row: JobRow, origin: JobOrigin | None = None, *, duplicate: bool = False) -> None:
        set_slot = object.__setattr__
        set_slot(self, "_row", row)
        set_slot(self, "_origin", origin)
        set_slot(self, "duplicate", duplicate)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Job is a frozen record; {name!r} cannot be set. Use the app's verbs to change the job")

    @property
    def row(self) -> JobRow:
        """The row behind the record, with times as integers and payloads as JSON bytes."""
        return self._row

    @property
    def id(self) -> UUID:
        """The job's id, a UUID version 7."""
        return UUID(bytes=self._row.id)

    @property
    def task(self) -> str:
        """The name of the task that runs it."""
        return self._row.task

    @property
    def queue(self) -> str:
        """The queue it waits in."""
        return self._row.queue

    @property
    def args(self) -> Mapping[str, Any]:
        """The arguments as given, without defaults, as plain JSON values by parameter name."""
        try:
            return self._args
        except AttributeError:
            args: dict[str, Any] = _decode(self._row.args)
            object.__setattr__(self, "_args", args)
            return args

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self._row.state

    @property
    def priority(self) -> int:
        """Higher runs sooner; from -32768 to 32767."""
        return self._row.priority

    @property
    def attempt(self) -> int:
        """The tries made: from 1 while running, 0 before."""
        return self._row.attempt

    @property
    def max_attempts(self) -> int:
        """The tries allowed."""
        return self._row.max_attempts

    @property
    def crashes(self) -> int:
        """The leases lost."""
        return self._row.crashes

    @property
    def max_crashes(self) -> int:
        """The lost lease with which the job is dead."""
        return self._row.max_crashes

    @property
    def claim(self) -> int:
        """A number that grows with every claim: the fence."""
        return self._row.claim

    @property
    def created_at(self) -> datetime:
        """When it was enqueued."""
        return to_datetime(self._row.created)

    @property
    def scheduled_at(self) -> datetime | None:
        """When it is, or was, next due; None while held by parents."""
        due = self._row.due
        return None if due is not None and due >= HELD else _time(due)

    @property
    def after(self) -> tuple[UUID, ...]:
        """The jobs that it waits for, or has waited for: what `using(after=[…])` was given."""
        options = self._row.options
        if options is None or b'"after"' not in options:
            return ()
        return tuple(UUID(hex=parent) for parent in _decode(options)["after"]["parents"])

    @property
    def started_at(self) -> datetime | None:
        """When the last attempt was claimed."""
        return _time(self._row.started)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return _time(self._row.finished)

    @property
    def lease_expires_at(self) -> datetime | None:
        """Until when its worker holds it, while it runs."""
        return _time(self._row.lease)

    @property
    def worker(self) -> str | None:
        """The worker of the last attempt, 16 hexadecimal digits."""
        return None if self._row.worker is None else worker_name(self._row.worker)

    @property
    def unique_key(self) -> str | None:
        """The unique key it was given."""
        return self._row.unique_key

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self._row.tags

    @property
    def progress(self) -> Progress | None:
        """How far it says it is, or None."""
        return self._row.progress

    @property
    def result(self) -> Any:
        """What the handler returned, as a plain JSON value; None where there is none."""
        return None if self._row.result is None else _decode(self._row.result)

    @property
    def error(self) -> str | None:
        """The last attempt that ended badly, as "Class: message"; None once completed.

        Where its worker was lost, which could not tell of it, that is "LeaseLost: …".
        """
        return self._row.error

    @property
    def reason(self) -> Reason | None:
        """More about the state: why it is dead, cancelled or waiting again."""
        return self._row.reason

    @property
    def batch(self) -> UUID | None:
        """The batch it belongs to, or None."""
        return None if self._row.batch is None else UUID(bytes=self._row.batch)

    def refresh(self) -> Job[R_co]:
        """Read the job again and return it as it is now.

        Raises:
            JobNotFound: It was deleted, or its retention has passed.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> done = app.drain()
        >>> job.state.value, job.refresh().state.value
        ('pending', 'completed')
        """
        return self._app().refreshed(self)

    async def arefresh(self) -> Job[R_co]:
        """Read the job again, in async code.

        Raises:
            JobNotFound: It was deleted, or its retention has passed.

        >>> import asyncio
        >>> from millrace import Millrace
        >>> async def main() -> str:
        ...     async with Millrace("memory://") as app:
        ...         job = await app.task(name="ping")(lambda: "pong").aenqueue()
        ...         await app.aio.drain()
        ...         return (await job.arefresh()).state.value
        >>> asyncio.run(main())
        'completed'
        """
        return await self._app().arefreshed(self)

    def wait(self, timeout: float | timedelta | None = None) -> Job[R_co]:
        """Wait until the job has ended, at most `timeout` seconds or that `timedelta`, and return it.

        In async code await `app.aio.wait(job)`, which holds no thread.

        Raises:
            WaitTimeout: It had not ended in time.

        >>> from millrace import Millrace, Worker
        >>> with Millrace("memory://") as app, Worker(app):
        ...     app.task(name="ping")(lambda: "pong").enqueue().wait(timeout=10).result
        'pong'
        """
        return self._app().waited(self, timeout)

    def _app(self) -> JobOrigin:
        if self._origin is None:
            raise ConfigurationError(f"job {self.id} did not come from an app; ask app.get(job.id)")
        return self._origin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        mine, others = self._row, other.row
        if mine.ref != others.ref:  # a store's handle: not known yet to the job that `enqueue` returned
            mine = msgspec.structs.replace(mine, ref=others.ref)
        return mine == others and self.duplicate == other.duplicate

    def __hash__(self) -> int:
        return hash(self._row.id)

    def __repr__(self) -> str:
        row = self._row
        return f"<Job {self.id} {row.task} {row.state} queue={row.queue!r} attempt={row.attempt}/{row.max_attempts}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._row, self.duplicate)


def _unpickled(row: JobRow, duplicate: bool) -> Job[Any]:  # noqa: FBT001 - pickle passes by position
    return Job(row, duplicate=duplicate)


def _time(at: int | None) -> datetime | None:
    return None if at is None else to_datetime(at)
