"""Schedules and their ticks. Owns the tables `schedules` and `ticks`; the jobs of ticks are inserted as all others.

Every change is conditional on the `rev` that was read, so the second of two who fire a schedule writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.messages import NewRow
from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick
from millrace.stores.sqlite.session import Session

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

# in the order of its primary key
ALL = "SELECT name, spec, watermark, next, last, paused, rev FROM {p}schedules ORDER BY name"
ONE = "SELECT name, spec, watermark, next, last, paused, rev FROM {p}schedules WHERE name=?"
# SEARCH schedules USING INDEX schedules_due (next<?)
DUE = """SELECT name, spec, watermark, next, last, paused, rev FROM {p}schedules
 WHERE paused=0 AND next IS NOT NULL AND next<=? ORDER BY next, name LIMIT ?"""
NEXT = "SELECT min(next) FROM {p}schedules WHERE paused=0 AND next IS NOT NULL"  # the first entry of schedules_due
NEW = """INSERT INTO {p}schedules(name, spec, watermark, next, last, paused, rev) VALUES(?,?,?,?,?,?,1)
 ON CONFLICT DO NOTHING"""
# By the primary key, as are those below.
CHANGE = """UPDATE {p}schedules SET spec=?, watermark=?, next=?, last=?, paused=?, rev=rev+1
 WHERE name=? AND rev=?"""
DELETE = "DELETE FROM {p}schedules WHERE name=?"
TICK = "INSERT INTO {p}ticks(schedule, at, job) VALUES(?,?,?) ON CONFLICT DO NOTHING"
TICKS = "SELECT at, job FROM {p}ticks WHERE schedule=? ORDER BY at DESC LIMIT ?"
TRIM = """DELETE FROM {p}ticks WHERE schedule=?1 AND at<=(
 SELECT at FROM {p}ticks WHERE schedule=?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)"""
FORGET = "DELETE FROM {p}ticks WHERE schedule=?"


def read_schedules(session: Session) -> list[ScheduleRow]:
    """Read all schedules, by name."""
    return [_row(values) for values in session.rows(ALL)]


def read_schedule(session: Session, name: str) -> ScheduleRow | None:
    """Read one schedule."""
    return next((_row(values) for values in session.rows(ONE, (name,))), None)


def read_due(session: Session, limit: int) -> list[ScheduleRow]:
    """Read schedules whose next tick has come, that came first first."""
    return [_row(values) for values in session.rows(DUE, (session.now, limit))]


def next_tick(session: Session) -> int | None:
    """Return when the next of them is due."""
    at: int | None
    ((at,),) = session.rows(NEXT)
    return at


def read_ticks(session: Session, name: str, limit: int) -> list[Tick]:
    """Read the ticks of a schedule that made jobs, newest first."""
    return [Tick(at, job) for at, job in session.rows(TICKS, (name, limit))]


def put_schedule(session: Session, row: ScheduleRow) -> bool:
    """Write a schedule within the open transaction, if it still has the `rev` of the row."""
    values = row.spec, row.watermark, row.next, row.last, int(row.paused)
    if row.rev == 0:
        return session.execute(NEW, (row.name, *values)) == 1
    return session.execute(CHANGE, (*values, row.name, row.rev)) == 1


def delete_schedule(session: Session, name: str) -> bool:
    """Delete a schedule and its ticks within the open transaction."""
    session.execute(FORGET, (name,))
    return session.execute(DELETE, (name,)) == 1


def fire_schedules(session: Session, firings: Sequence[Firing]) -> tuple[list[bool], list[NewRow]]:
    """Write schedules and ticks within the open transaction; return which were written, and the jobs to insert."""
    written = [firing.row.rev > 0 and put_schedule(session, firing.row) for firing in firings]
    jobs: list[NewRow] = []
    for firing in [firing for firing, done in zip(firings, written, strict=True) if done and firing.ticks]:
        name = firing.row.name
        jobs += [
            job
            for at, job in zip(firing.ticks, firing.jobs, strict=True)
            if session.execute(TICK, (name, at, job.id)) == 1
        ]
        session.execute(TRIM, (name, KEPT_TICKS))
    return written, jobs


def _row(values: Any) -> ScheduleRow:
    name, spec, watermark, next, last, paused, rev = values
    return ScheduleRow(name, spec, watermark, next, last, bool(paused), rev)
