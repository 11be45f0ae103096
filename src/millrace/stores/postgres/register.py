"""The workers' register and the named locks. Owns the tables `worker` and `lock`."""

from __future__ import annotations

from millrace.records import WorkerRow
from millrace.stores.postgres.session import Session

__all__ = ["acquire", "forget_workers", "read_workers", "register", "release", "unregister"]

# Each by the primary key of its table; the register is small and read whole.
REGISTER = """insert into {s}.worker as w (id, name, started, seen, info)
 values (%(id)b, %(name)b, coalesce(%(started)b::bigint, {now}), coalesce(%(seen)b::bigint, {now}), %(info)b)
 on conflict (id) do update set name = excluded.name, seen = excluded.seen, info = excluded.info,
  started = coalesce(%(started)b::bigint, w.started)"""
UNREGISTER = "delete from {s}.worker where id = %(id)b"
WORKERS = "select id, name, started, seen, info from {s}.worker where seen >= %(after)b order by started, id"
FORGET = "delete from {s}.worker where seen < %(before)b"
ACQUIRE = """insert into {s}.lock as l (name, holder, until) values (%(name)b, %(holder)b, {now} + %(ttl)b)
 on conflict (name) do update set holder = excluded.holder, until = excluded.until
 where l.holder = excluded.holder or l.until < {now}"""
RELEASE = "delete from {s}.lock where name = %(name)b and holder = %(holder)b"

_ALWAYS = -(2**63)


def register(session: Session, worker: WorkerRow) -> None:
    """Write a worker's entry; `seen` 0 is now, `started` 0 leaves it, or is now."""
    session.execute(
        REGISTER,
        {
            "id": worker.id,
            "name": worker.name,
            "started": worker.started or None,
            "seen": worker.seen or None,
            "info": worker.info.decode(),
        },
    )


def unregister(session: Session, worker: int) -> None:
    """Delete a worker's entry."""
    session.execute(UNREGISTER, {"id": worker})


def read_workers(session: Session, seen_after: int | None) -> list[WorkerRow]:
    """Read the register, oldest first."""
    rows = session.rows(WORKERS, {"after": _ALWAYS if seen_after is None else seen_after})
    return [WorkerRow(id, name, started, seen, info.encode()) for id, name, started, seen, info in rows]


def forget_workers(session: Session, seen_before: int) -> int:
    """Delete entries not seen since a time; return how many."""
    return session.execute(FORGET, {"before": seen_before})


def acquire(session: Session, lock: str, holder: int, ttl: int) -> bool:
    """Take or keep a lock; False where another holds it."""
    return session.execute(ACQUIRE, {"name": lock, "holder": holder, "ttl": ttl}) == 1


def release(session: Session, lock: str, holder: int) -> None:
    """Give a lock back, if it is still the holder's."""
    session.execute(RELEASE, {"name": lock, "holder": holder})
