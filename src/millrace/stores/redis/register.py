"""The workers' register and the named locks. Owns the hashes `workers` and `locks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from millrace.records import WorkerRow
from millrace.stores.redis.record import worker_bytes
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["acquire", "forget_workers", "read_workers", "register", "release", "unregister"]

REGISTER: Final = script("register")
FORGET: Final = script("forget_workers")
ACQUIRE: Final = script("acquire")
RELEASE: Final = script("release")

_entry = msgspec.msgpack.Decoder(tuple[str, int, int, str]).decode  # name, started, seen, what it tells of itself


def register(session: Session, worker: WorkerRow) -> None:
    """Write a worker's entry; `seen` 0 is now, `started` 0 is what is known, or now."""
    session.run(REGISTER, worker_bytes(worker.id), worker.name, worker.started, worker.seen, worker.info)


def unregister(session: Session, worker: int) -> None:
    """Delete a worker's entry."""
    session.command("HDEL", session.keys.key("workers"), worker_bytes(worker))


def read_workers(session: Session, seen_after: int | None) -> list[WorkerRow]:
    """Read the register, oldest first."""
    told: Sequence[Any] = session.command("HGETALL", session.keys.key("workers"))
    rows: list[WorkerRow] = []
    for id, packed in zip(told[::2], told[1::2], strict=True):
        name, started, seen, info = _entry(packed)
        if seen_after is None or seen >= seen_after:
            rows.append(WorkerRow(int.from_bytes(id, "big", signed=True), name, started, seen, info.encode()))
    return sorted(rows, key=lambda row: (row.started, row.id))


def forget_workers(session: Session, seen_before: int) -> int:
    """Delete entries not seen since a time; return how many."""
    return int(session.run(FORGET, seen_before))


def acquire(session: Session, lock: str, holder: int, ttl: int) -> bool:
    """Take or keep a lock; False where another holds it."""
    return bool(session.run(ACQUIRE, lock, worker_bytes(holder), ttl))


def release(session: Session, lock: str, holder: int) -> None:
    """Give a lock back, if it is still the holder's."""
    session.run(RELEASE, lock, worker_bytes(holder))
