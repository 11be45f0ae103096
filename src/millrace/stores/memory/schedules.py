"""Schedules and their ticks in memory. Owns both tables."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from millrace.messages import NewRow
from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick

__all__ = ["Schedules"]


class Schedules:
    """Schedules by name."""

    def __init__(self) -> None:
        self._rows: dict[str, ScheduleRow] = {}
        self._ticks: dict[str, dict[int, bytes]] = {}

    def read(self) -> list[ScheduleRow]:
        """Read all, by name."""
        return [self._rows[name] for name in sorted(self._rows)]

    def get(self, name: str) -> ScheduleRow | None:
        """Read one."""
        return self._rows.get(name)

    def put(self, row: ScheduleRow) -> bool:
        """Write one, if it has the `rev` of the row."""
        known = self._rows.get(row.name)
        if row.rev != (0 if known is None else known.rev):
            return False
        self._rows[row.name] = replace(row, rev=row.rev + 1)
        return True

    def delete(self, name: str) -> bool:
        """Delete one with its ticks."""
        self._ticks.pop(name, None)
        return self._rows.pop(name, None) is not None

    def due(self, now: int, limit: int) -> list[ScheduleRow]:
        """Read those whose next tick has come."""
        return [row for next, _, row in sorted(self._waiting()) if next <= now][:limit]

    def next(self) -> int | None:
        """Return when the next one is due."""
        return min((next for next, _, _ in self._waiting()), default=None)

    def fire(self, firing: Firing) -> list[NewRow] | None:
        """Write one and its ticks; return the jobs of ticks that are new, None where it has changed meanwhile."""
        if firing.row.rev == 0 or not self.put(firing.row):
            return None
        fired = self._ticks.setdefault(firing.row.name, {})
        jobs: list[NewRow] = []
        for tick, job in zip(firing.ticks, firing.jobs, strict=True):
            if tick not in fired:
                fired[tick] = job.id
                jobs.append(job)
        for tick in sorted(fired)[:-KEPT_TICKS]:
            del fired[tick]
        return jobs

    def ticks(self, name: str, limit: int) -> list[Tick]:
        """Read the ticks of one, newest first."""
        fired = self._ticks.get(name, {})
        return [Tick(at, fired[at]) for at in sorted(fired, reverse=True)[:limit]]

    def _waiting(self) -> Iterator[tuple[int, str, ScheduleRow]]:
        for row in self._rows.values():
            if not row.paused and row.next is not None:
                yield row.next, row.name, row
