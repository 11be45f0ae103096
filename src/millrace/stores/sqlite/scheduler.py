"""The SQLite store's schedules: keeping them, and firing their ticks. Owns which of these verbs write and wake."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick
from millrace.stores.sqlite import schedules
from millrace.stores.sqlite.base import FileStore
from millrace.stores.sqlite.insert import insert_rows, pair_of
from millrace.stores.sqlite.lanes import Lanes
from millrace.stores.sqlite.session import Session

__all__ = ["Scheduler"]


class Scheduler(FileStore):
    """Keeps schedules; see `millrace.scheduling.Scheduling`."""

    def schedules(self) -> list[ScheduleRow]:
        """Read all schedules, by name."""
        return self._read(schedules.read_schedules)

    def schedule(self, name: str) -> ScheduleRow | None:
        """Read one."""
        return self._read(lambda session: schedules.read_schedule(session, name))

    def put_schedule(self, row: ScheduleRow) -> bool:
        """Write a schedule, if it still has the `rev` of the row."""
        written = self._write(lambda session: schedules.put_schedule(session, row))
        self._database.changed()
        return written

    def delete_schedule(self, name: str) -> bool:
        """Delete a schedule and what is known of its ticks."""
        return self._write(lambda session: schedules.delete_schedule(session, name))

    def due_schedules(self, *, limit: int = 500, now: int | None = None) -> list[ScheduleRow]:
        """Read schedules whose next tick has come."""
        return self._read(lambda session: schedules.read_due(session, limit), now=now)

    def next_tick(self) -> int | None:
        """Return when the next of them is due."""
        return self._read(schedules.next_tick)

    def fire(self, firings: Sequence[Firing], *, now: int | None = None) -> list[bool]:
        """Write schedules, ticks and jobs in one transaction."""
        if not firings:
            self._nothing_to_do()
            return []

        def body(session: Session) -> list[bool]:
            written, jobs = schedules.fire_schedules(session, firings)
            if jobs:
                insert_rows(session, Lanes.make(session, {pair_of(job) for job in jobs}), jobs)
            return written

        written = self._write(body, now=now)
        self._database.changed()
        return written

    def ticks(self, name: str, *, limit: int = KEPT_TICKS) -> list[Tick]:
        """Read the ticks of a schedule that made jobs, newest first."""
        return self._read(lambda session: schedules.read_ticks(session, name, limit))
