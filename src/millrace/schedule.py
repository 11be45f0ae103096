"""A schedule: what is stored of it, and the record that people see. Owns how one becomes the other; does no I/O."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from millrace.clock import SECOND, to_datetime
from millrace.errors import ScheduleError
from millrace.messages import Conflict, NewRow
from millrace.scheduling import ScheduleRow
from millrace.ticking import CatchUp, Rule, lateness, tick_id
from millrace.timetable import Cron, Interval

__all__ = ["Origin", "Overlap", "Schedule", "Spec", "read_spec", "spec_of"]

Overlap = Literal["allow", "skip"]
Origin = Literal["code", "user"]

_NO_OPTIONS = msgspec.Raw(b"null")


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a schedule does, as it is stored: when it ticks, and the job of each tick. Times in microseconds.

    >>> spec = Spec(Interval(60 * SECOND), "report", msgspec.Raw(b"{}"))
    >>> read_spec("hourly", spec.encode()) == spec
    True
    """

    timetable: Cron | Interval
    task: str
    args: msgspec.Raw
    queue: str = "default"
    priority: int = 0
    max_attempts: int = 5
    max_crashes: int = 3
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    options: msgspec.Raw = _NO_OPTIONS
    catch_up: CatchUp = "latest"
    overlap: Overlap = "allow"
    jitter: int = 0
    start: int | None = None
    end: int | None = None
    origin: Origin = "user"
    release: int = 0  #: of the code that wrote it
    orphaned: bool = False  #: it is paused because the code no longer has it
    on_conflict: Conflict = "return"
    group: str | None = None  #: the limits of its jobs

    @property
    def rule(self) -> Rule:
        """When it ticks, and what becomes of ticks that were missed."""
        return Rule(self.timetable, self.catch_up, self.start, self.end)

    def encode(self) -> bytes:
        """Write it as JSON."""
        return msgspec.json.encode(self)

    def job(self, name: str, tick: int) -> NewRow:
        """Make the job of a tick.

        Args:
            name: Of the schedule.
            tick: When, in microseconds since 1970.
        """
        late = lateness(name, tick, self.jitter) if self.jitter else 0
        return self.job_now(tick_id(name, tick), tick + late)

    def job_now(self, id: bytes, due: int | None = None) -> NewRow:
        """Make its job outside of any tick.

        Args:
            id: The job's.
            due: When it may run; None is now.
        """
        return NewRow(
            id, self.task, self.queue, bytes(self.args), self.priority, 0, due, self.max_attempts, self.max_crashes,
            self.unique_key, self.tags, None if self.options == _NO_OPTIONS else bytes(self.options),
            self.on_conflict, self.group,
        )  # fmt: skip

    def same_times(self, other: Spec) -> bool:
        """Tell whether it ticks at the same times as another one, an interval wherever it began."""
        mine, theirs = self.timetable, other.timetable
        if isinstance(mine, Interval) and isinstance(theirs, Interval):
            mine = replace(mine, since=theirs.since)
        return (mine, self.start, self.end) == (theirs, other.start, other.end)


def read_spec(name: str, data: bytes) -> Spec:
    """Read what is stored of a schedule.

    Raises:
        ScheduleError: This Millrace does not understand it.
    """
    try:
        return _decoded(data)
    except (msgspec.MsgspecError, ScheduleError) as error:
        raise ScheduleError(
            f"schedule {name!r} is stored in a way that this Millrace cannot read ({error}); put it again, or delete it"
        ) from error


@lru_cache(maxsize=1024)
def _decoded(data: bytes) -> Spec:
    """Read it once, as each tick needs it and a cron line is checked with each reading."""
    return msgspec.json.decode(data, type=Spec)


def spec_of(row: ScheduleRow | None) -> Spec | None:
    """Return what is stored of a schedule; None where there is none, or none that this Millrace understands.

    >>> spec_of(None) is spec_of(ScheduleRow("broken", b"7")) is None
    True
    """
    if row is None:
        return None
    try:
        return read_spec(row.name, row.spec)
    except ScheduleError:
        return None


class Schedule(msgspec.Struct, frozen=True):
    """A schedule as it stands in the store.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> report = app.task(name="report")(lambda: None)
    >>> made = app.schedules.put("every morning", cron="0 9 * * mon-fri", job=report.job())
    >>> made.name, made.task, made.words
    ('every morning', 'report', 'At 09:00 on Monday through Friday, UTC')
    """

    name: str
    task: str
    args: dict[str, Any]
    queue: str
    words: str  #: when it ticks, for people
    cron: str | None  #: its expression, or None where it ticks at an interval
    every: float | None  #: the interval in seconds, or None where it goes by cron
    timezone: str
    next_at: datetime | None  #: when it ticks next; None: never again
    last_at: datetime | None  #: the newest tick that made a job
    paused: bool
    catch_up: CatchUp
    overlap: Overlap
    jitter: float  #: seconds
    start_at: datetime | None
    end_at: datetime | None
    origin: Origin  #: "code": a decorator's; "user": put at run time

    @classmethod
    def of(cls, row: ScheduleRow) -> Schedule:
        """Make the record of what is stored.

        Raises:
            ScheduleError: This Millrace does not understand it.
        """
        spec = read_spec(row.name, row.spec)
        table = spec.timetable
        cron = table if isinstance(table, Cron) else None
        return cls(
            name=row.name,
            task=spec.task,
            args=msgspec.json.decode(spec.args, type=dict[str, Any]),
            queue=spec.queue,
            words=table.words,
            cron=None if cron is None else cron.expression,
            every=table.every / SECOND if isinstance(table, Interval) else None,
            timezone="UTC" if cron is None else cron.timezone,
            next_at=None if row.paused else _time(row.next),
            last_at=_time(row.last),
            paused=row.paused,
            catch_up=spec.catch_up,
            overlap=spec.overlap,
            jitter=spec.jitter / SECOND,
            start_at=_time(spec.start),
            end_at=_time(spec.end),
            origin=spec.origin,
        )


def _time(at: int | None) -> datetime | None:
    return None if at is None else to_datetime(at)
