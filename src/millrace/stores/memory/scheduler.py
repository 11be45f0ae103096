"""The memory store's schedules: keeping them, and firing their ticks. Owns the locking of these verbs."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick
from millrace.stores.memory import changing
from millrace.stores.memory.base import MemoryBase, at_of

__all__ = ["Scheduler"]


class Scheduler(MemoryBase):
    """Keeps schedules; see `millrace.scheduling.Scheduling`."""

    def schedules(self) -> list[ScheduleRow]:
        """Read all schedules, by name."""
        with self._whole() as memory:
            return memory.schedules.read()

    def schedule(self, name: str) -> ScheduleRow | None:
        """Read one."""
        with self._whole() as memory:
            return memory.schedules.get(name)

    def put_schedule(self, row: ScheduleRow) -> bool:
        """Write a schedule, if it still has the `rev` of the row."""
        with self._whole() as memory:
            return memory.schedules.put(row)

    def delete_schedule(self, name: str) -> bool:
        """Delete a schedule and what is known of its ticks."""
        with self._whole() as memory:
            return memory.schedules.delete(name)

    def due_schedules(self, *, limit: int = 500, now: int | None = None) -> list[ScheduleRow]:
        """Read schedules whose next tick has come."""
        with self._whole() as memory:
            return memory.schedules.due(at_of(memory, now), limit)

    def next_tick(self) -> int | None:
        """Return when the next of them is due."""
        with self._whole() as memory:
            return memory.schedules.next()

    def fire(self, firings: Sequence[Firing], *, now: int | None = None) -> list[bool]:
        """Write schedules, ticks and jobs as one whole."""
        with self._whole() as memory:
            at = at_of(memory, now)
            fired = [memory.schedules.fire(firing) for firing in firings]
            rows = [row for jobs in fired if jobs for row in jobs]
            if rows:
                changing.insert(memory.shelf, rows, at)
        if rows:
            memory.changed()
        return [jobs is not None for jobs in fired]

    def ticks(self, name: str, *, limit: int = KEPT_TICKS) -> list[Tick]:
        """Read the ticks of a schedule that made jobs, newest first."""
        with self._whole() as memory:
            return memory.schedules.ticks(name, limit)
