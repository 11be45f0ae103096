"""The workers' register and the named locks. Owns the tables `workers` and `locks`."""

from __future__ import annotations

from millrace.records import WorkerRow
from millrace.stores.sqlite.session import Session

__all__ = ["acquire", "forget_workers", "read_workers", "register", "release", "unregister"]

# Each by the primary key of its table; the register is small and read whole.
REGISTER = """INSERT INTO {p}workers(id,name,started,seen,info) VALUES(?1,?2,coalesce(?3,?4),?4,?5)
 ON CONFLICT(id) DO UPDATE SET name=?2, started=coalesce(?3,started), seen=?4, info=?5"""
UNREGISTER = "DELETE FROM {p}workers WHERE id=?"
WORKERS = "SELECT id, name, started, seen, info FROM {p}workers WHERE seen>=? ORDER BY started, id"
FORGET = "DELETE FROM {p}workers WHERE seen<?"
ACQUIRE = """INSERT INTO {p}locks(name,holder,until) VALUES(?1,?2,?3)
 ON CONFLICT(name) DO UPDATE SET holder=?2, until=?3 WHERE holder=?2 OR until<?4"""
RELEASE = "DELETE FROM {p}locks WHERE name=? AND holder=?"

_ALWAYS = -(2**63)


def register(session: Session, worker: WorkerRow) -> None:
    """Write a worker's entry within the open transaction; `seen` 0 is now, `started` 0 leaves it, or is now."""
    session.execute(REGISTER, (worker.id, worker.name, worker.started or None, worker.seen or session.now, worker.info))


def unregister(session: Session, worker: int) -> None:
    """Delete a worker's entry within the open transaction."""
    session.execute(UNREGISTER, (worker,))


def read_workers(session: Session, seen_after: int | None) -> list[WorkerRow]:
    """Read the register, oldest first."""
    rows = session.rows(WORKERS, (_ALWAYS if seen_after is None else seen_after,))
    return [WorkerRow(*row) for row in rows]


def forget_workers(session: Session, seen_before: int) -> int:
    """Delete entries not seen since a time, within the open transaction; return how many."""
    return session.execute(FORGET, (seen_before,))


def acquire(session: Session, lock: str, holder: int, ttl: int) -> bool:
    """Take or keep a lock within the open transaction; False where another holds it."""
    return session.execute(ACQUIRE, (lock, holder, session.now + ttl, session.now)) == 1


def release(session: Session, lock: str, holder: int) -> None:
    """Give a lock back within the open transaction, if it is still the holder's."""
    session.execute(RELEASE, (lock, holder))
