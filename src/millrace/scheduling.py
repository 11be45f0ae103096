"""What a store keeps of schedules, and the capability to fire them. Frozen records and a protocol, no I/O.

A schedule fires without a leader: whoever finds it due writes its ticks, their jobs and the new watermark in one
transaction, and only where the schedule still is as it was read. Whoever comes second writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from millrace.messages import NewRow

__all__ = ["KEPT_TICKS", "Firing", "ScheduleRow", "Scheduling", "Tick"]

KEPT_TICKS = 100  #: of a schedule, the newest


class ScheduleRow(msgspec.Struct, frozen=True, gc=False):
    """One schedule as a store hands it over; times in microseconds.

    >>> ScheduleRow("report", b"{}").next is None
    True
    """

    name: str
    spec: bytes  #: JSON, opaque to the store
    watermark: int = 0  #: up to when its ticks have been seen to
    next: int | None = None  #: its first tick after that; None: it never ticks again
    last: int | None = None  #: the newest tick that made a job
    paused: bool = False
    rev: int = 0  #: raised by each change; 0: it is not stored


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One tick that was fired.

    >>> Tick(60_000_000, bytes(16)).at
    60000000
    """

    at: int
    job: bytes


class Firing(msgspec.Struct, frozen=True):
    """What is due of one schedule.

    Attributes:
        row: The schedule as it shall be, with the `rev` it was read with.
        ticks: The ticks that make jobs, oldest first.
        jobs: The job of each.
    """

    row: ScheduleRow
    ticks: tuple[int, ...] = ()
    jobs: tuple[NewRow, ...] = ()


@runtime_checkable
class Scheduling(Protocol):
    """Capability: keep schedules, and fire each of their ticks once."""

    def schedules(self) -> list[ScheduleRow]:
        """Read all schedules, by name."""
        ...

    def schedule(self, name: str) -> ScheduleRow | None:
        """Read one."""
        ...

    def put_schedule(self, row: ScheduleRow) -> bool:
        """Write a schedule with `rev` + 1, if it still has the `rev` of the row, 0 where it is not there yet.

        Returns:
            False where it has been changed meanwhile.
        """
        ...

    def delete_schedule(self, name: str) -> bool:
        """Delete a schedule and what is known of its ticks; its jobs stay. False where there is none."""
        ...

    def due_schedules(self, *, limit: int = 500, now: int | None = None) -> list[ScheduleRow]:
        """Read schedules that are not paused and whose next tick has come, that came first first. Takes no lock."""
        ...

    def next_tick(self) -> int | None:
        """Return when the next of them is due, None where none ever is. Takes no lock."""
        ...

    def fire(self, firings: Sequence[Firing], *, now: int | None = None) -> list[bool]:
        """Write schedules, ticks and jobs in one transaction, each schedule if it still has the `rev` of its row.

        A tick that was fired before, or whose job is there, makes none. The newest 100 ticks are kept.

        Returns:
            For each whether it was written.
        """
        ...

    def ticks(self, name: str, *, limit: int = KEPT_TICKS) -> list[Tick]:
        """Read the ticks of a schedule that made jobs, newest first."""
        ...
