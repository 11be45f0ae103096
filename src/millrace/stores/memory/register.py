"""The workers' register and the named locks. Owns both tables."""

from __future__ import annotations

from msgspec.structs import replace

from millrace.records import WorkerRow

__all__ = ["Locks", "Register"]


class Register:
    """Workers by number."""

    def __init__(self) -> None:
        self._workers: dict[int, WorkerRow] = {}

    def write(self, worker: WorkerRow, now: int) -> None:
        """Write an entry; `seen` 0 is now, `started` 0 is what is known, or now."""
        known = self._workers.get(worker.id)
        started = worker.started or (now if known is None else known.started)
        self._workers[worker.id] = replace(worker, started=started, seen=worker.seen or now)

    def remove(self, worker: int) -> None:
        """Delete an entry, if there is one."""
        self._workers.pop(worker, None)

    def read(self, seen_after: int | None) -> list[WorkerRow]:
        """Read the entries, oldest first."""
        rows = [row for row in self._workers.values() if seen_after is None or row.seen >= seen_after]
        return sorted(rows, key=lambda row: (row.started, row.id))

    def forget(self, seen_before: int) -> int:
        """Delete entries not seen since a time; return how many."""
        gone = [row.id for row in self._workers.values() if row.seen < seen_before]
        for id in gone:
            del self._workers[id]
        return len(gone)


class Locks:
    """Named locks: who holds each, and until when."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, int]] = {}

    def acquire(self, lock: str, holder: int, until: int, now: int) -> bool:
        """Take or keep a lock; False where another holds it."""
        held = self._held.get(lock)
        if held is not None and held[0] != holder and held[1] >= now:
            return False
        self._held[lock] = holder, until
        return True

    def release(self, lock: str, holder: int) -> None:
        """Give a lock back, if it is still the holder's."""
        held = self._held.get(lock)
        if held is not None and held[0] == holder:
            del self._held[lock]
