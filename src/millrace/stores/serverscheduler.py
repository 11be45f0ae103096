"""The schedules of a store on a server: keeping them, and firing their ticks. Owns which of these verbs write and tell.

What each does on the server is for the `schedules` of each store to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick
from millrace.stores.serverlistener import Audible
from millrace.stores.serverstore import ServerStore

__all__ = ["Book", "ServerScheduler"]

C = TypeVar("C", bound=Audible)
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


class Book(Protocol[S_contra]):
    """What each store says of its schedules: functions of a session."""

    def read_schedules(self, session: S_contra, /) -> list[ScheduleRow]:
        """Read all schedules, by name."""
        ...

    def read_schedule(self, session: S_contra, name: str, /) -> ScheduleRow | None:
        """Read one schedule."""
        ...

    def read_due(self, session: S_contra, limit: int, /) -> list[ScheduleRow]:
        """Read schedules whose next tick has come, that came first first."""
        ...

    def next_tick(self, session: S_contra, /) -> int | None:
        """Return when the next of them is due."""
        ...

    def read_ticks(self, session: S_contra, name: str, limit: int, /) -> list[Tick]:
        """Read the ticks of a schedule that made jobs, newest first."""
        ...

    def put_schedule(self, session: S_contra, row: ScheduleRow, /) -> bool:
        """Write a schedule, if it still has the `rev` of the row."""
        ...

    def delete_schedule(self, session: S_contra, name: str, /) -> bool:
        """Delete a schedule and its ticks."""
        ...

    def fire_schedules(self, session: S_contra, firings: Sequence[Firing], /) -> list[bool]:
        """Write schedules, ticks and jobs; tell which schedules were written."""
        ...


class ServerScheduler(ServerStore[C, S]):
    """Keeps schedules; see `millrace.scheduling.Scheduling`."""

    _book: Book[S]

    def schedules(self) -> list[ScheduleRow]:
        """Read all schedules, by name."""
        return self._read(self._book.read_schedules)

    def schedule(self, name: str) -> ScheduleRow | None:
        """Read one."""
        return self._read(lambda session: self._book.read_schedule(session, name))

    def put_schedule(self, row: ScheduleRow) -> bool:
        """Write a schedule, if it still has the `rev` of the row."""
        written = self._write(lambda session: self._book.put_schedule(session, row))
        self._changed()
        return written

    def delete_schedule(self, name: str) -> bool:
        """Delete a schedule and what is known of its ticks."""
        return self._write(lambda session: self._book.delete_schedule(session, name), repeatable=True)

    def due_schedules(self, *, limit: int = 500, now: int | None = None) -> list[ScheduleRow]:
        """Read schedules whose next tick has come."""
        return self._read(lambda session: self._book.read_due(session, limit), now=now)

    def next_tick(self) -> int | None:
        """Return when the next of them is due."""
        return self._read(self._book.next_tick)

    def fire(self, firings: Sequence[Firing], *, now: int | None = None) -> list[bool]:
        """Write schedules, ticks and jobs: each schedule with its own as one whole."""
        if not firings:
            self._nothing_to_do()
            return []
        # Run again after a lost reply it finds its own change, and says that it was not written: which is harmless.
        written = self._write(lambda session: self._book.fire_schedules(session, firings), now=now, repeatable=True)
        self._changed({job.queue for firing in firings for job in firing.jobs})
        return written

    def ticks(self, name: str, *, limit: int = KEPT_TICKS) -> list[Tick]:
        """Read the ticks of a schedule that made jobs, newest first."""
        return self._read(lambda session: self._book.read_ticks(session, name, limit))
