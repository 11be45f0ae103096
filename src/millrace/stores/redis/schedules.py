"""Schedules and their ticks. Owns the hash `schedules`, the set of those that are due, and the ticks of each.

Every change is conditional on the `rev` that was read, so the second of two who fire a schedule writes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from millrace.errors import ConfigurationError
from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick
from millrace.stores.redis.insert import LATEST, insert_arguments
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Argument, Session

__all__ = [
    "delete_schedule",
    "fire_schedules",
    "next_tick",
    "put_schedule",
    "read_due",
    "read_schedule",
    "read_schedules",
    "read_ticks",
]

PUT: Final = script("put_schedule")
DELETE: Final = script("delete_schedule")
DUE: Final = script("due_schedules")
FIRE: Final = script("fire")
MOST_TICKS: Final = 500  #: in one script; a schedule is never divided

_REV = struct.Struct(">Q")
_Packed = tuple[bytes, int, int | None, int | None, bool]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Packed).decode


def read_schedules(session: Session) -> list[ScheduleRow]:
    """Read all schedules, by name."""
    told: Sequence[bytes] = session.command("HGETALL", session.keys.key("schedules"))
    return sorted(map(_row, told[::2], told[1::2]), key=lambda row: row.name)


def read_schedule(session: Session, name: str) -> ScheduleRow | None:
    """Read one schedule."""
    record: bytes | None = session.command("HGET", session.keys.key("schedules"), name)
    return None if record is None else _row(name.encode(), record)


def read_due(session: Session, limit: int) -> list[ScheduleRow]:
    """Read schedules whose next tick has come, that came first first."""
    names, records = session.run(DUE, limit)
    return [_row(name, record) for name, record in zip(names, records, strict=True) if record]


def next_tick(session: Session) -> int | None:
    """Return when the next of them is due."""
    first: Sequence[bytes] = session.command("ZRANGE", session.keys.key("schedules_due"), 0, 0, "WITHSCORES")
    return int(float(first[1])) if first else None


def read_ticks(session: Session, name: str, limit: int) -> list[Tick]:
    """Read the ticks of a schedule that made jobs, newest first."""
    key = session.keys.key(b"ticks:" + name.encode())
    told: Sequence[bytes] = session.command("ZRANGE", key, 0, limit - 1, "REV", "WITHSCORES")
    return [Tick(int(float(at)), job) for job, at in zip(told[::2], told[1::2], strict=True)]


def put_schedule(session: Session, row: ScheduleRow) -> bool:
    """Write a schedule, if it still has the `rev` of the row."""
    return bool(session.run(PUT, row.name, row.rev, *_written(row)))


def delete_schedule(session: Session, name: str) -> bool:
    """Delete a schedule and its ticks."""
    return bool(session.run(DELETE, name))


def fire_schedules(session: Session, firings: Sequence[Firing], *, elsewhere: bool = False) -> list[bool]:
    """Write schedules, ticks and jobs, each schedule with its own in one script; tell which were written.

    Args:
        session: To run it in.
        firings: What to write.
        elsewhere: The jobs lie elsewhere, and are there already.
    """
    replies = session.trip([(FIRE, _arguments(chunk, elsewhere=elsewhere)) for chunk in _chunks(firings)])
    return [bool(done) for reply in replies for done in reply]


def _chunks(firings: Iterable[Firing]) -> list[list[Firing]]:
    chunks: list[list[Firing]] = []
    room = 0
    for firing in firings:
        weight = 1 + len(firing.ticks)
        if weight > room:
            chunks.append([])
            room = MOST_TICKS
        chunks[-1].append(firing)
        room -= weight
    return chunks


def _arguments(firings: Sequence[Firing], *, elsewhere: bool) -> list[Argument]:
    jobs = [job for firing in firings for job in firing.jobs]
    records = [_written(firing.row) for firing in firings]
    head = [
        (firing.row.name, firing.row.rev, due, firing.ticks) for firing, (_, due) in zip(firings, records, strict=True)
    ]
    told: Sequence[Argument] = ()
    if jobs:
        told = ("", b"".join([job.id for job in jobs])) if elsewhere else insert_arguments(jobs)
    return [_pack(head), KEPT_TICKS, *(record for record, _ in records), *told]


def _written(row: ScheduleRow) -> tuple[bytes, int | str]:
    """Return the record of a schedule, but for its `rev`, and when it is due."""
    if max(row.watermark, row.next or 0, row.last or 0) >= LATEST:
        raise ConfigurationError(f"schedule {row.name!r} ticks after the year 2255: Redis takes times until then")
    due = "" if row.paused or row.next is None else row.next
    return _pack((row.spec, row.watermark, row.next, row.last, row.paused)), due


def _row(name: bytes, record: Any) -> ScheduleRow:
    spec, watermark, next, last, paused = _unpack(record[_REV.size :])
    (rev,) = _REV.unpack_from(record)
    return ScheduleRow(name.decode(), spec, watermark, next, last, paused, rev)
