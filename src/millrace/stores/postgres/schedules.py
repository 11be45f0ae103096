"""Schedules and their ticks. Owns the tables `schedule` and `tick`; the jobs of ticks are inserted as all others.

Every change is conditional on the `rev` that was read, so the second of two who fire a schedule writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from millrace.messages import NewRow
from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Tick
from millrace.stores.postgres.arrays import Bigints, Booleans, Strings, Uuids
from millrace.stores.postgres.insert import insert_script
from millrace.stores.postgres.script import run
from millrace.stores.postgres.session import Session

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

_COLUMNS = "name, spec, watermark, next, last, paused, rev"
ALL: Final = f"select {_COLUMNS} from {{s}}.schedule where name >= '' order by name"  # schedule_pkey
ONE: Final = f"select {_COLUMNS} from {{s}}.schedule where name = %(name)b"  # schedule_pkey
# schedule_due (next<=)
DUE: Final = f"""select {_COLUMNS} from {{s}}.schedule where not paused and next is not null and next <= {{now}}
 order by next, name limit %(limit)b"""
NEXT: Final = "select min(next) from {s}.schedule where not paused and next is not null"  # the first of schedule_due
NEW: Final = """insert into {s}.schedule (name, spec, watermark, next, last, paused, rev)
 values (%(name)b, %(spec)b, %(watermark)b, %(next)b, %(last)b, %(paused)b, 1) on conflict do nothing"""
# The list, then schedule_pkey for each, in the order of the list for all who fire.
CHANGE: Final = """update {s}.schedule s set spec = f.spec, watermark = f.watermark, next = f.next, last = f.last,
  paused = f.paused, rev = s.rev + 1
 from unnest(%(names)b, %(specs)b, %(watermarks)b, %(nexts)b, %(lasts)b, %(paused)b, %(revs)b)
  f(name, spec, watermark, next, last, paused, rev)
 where s.name = f.name and s.rev = f.rev returning s.name"""
# The ticks first: they belong to the schedule whether it is there or not.
DELETE: Final = """with t as (delete from {s}.tick where schedule = %(name)b)
 delete from {s}.schedule where name = %(name)b"""
# tick_pkey tells which were fired before.
FIRED: Final = """insert into {s}.tick (schedule, at, job) select * from unnest(%(names)b, %(ats)b, %(jobs)b)
 on conflict do nothing returning job"""
TICKS: Final = (
    """select at, job from {s}.tick where schedule = %(name)b order by at desc limit %(limit)b"""  # tick_pkey
)
# tick_pkey, twice for each: the oldest that is kept, and what is older.
TRIM: Final = """delete from {s}.tick t using (
  select n.name, (select at from {s}.tick where schedule = n.name order by at desc limit 1 offset %(most)b) as oldest
  from unnest(%(names)b) n(name)) o
 where t.schedule = o.name and t.at <= o.oldest"""


def read_schedules(session: Session) -> list[ScheduleRow]:
    """Read all schedules, by name."""
    return [_row(values) for values in session.rows(ALL)]


def read_schedule(session: Session, name: str) -> ScheduleRow | None:
    """Read one schedule."""
    return next((_row(values) for values in session.rows(ONE, {"name": name})), None)


def read_due(session: Session, limit: int) -> list[ScheduleRow]:
    """Read schedules whose next tick has come, that came first first."""
    return [_row(values) for values in session.rows(DUE, {"limit": limit})]


def next_tick(session: Session) -> int | None:
    """Return when the next of them is due."""
    at: int | None
    ((at,),) = session.rows(NEXT)
    return at


def read_ticks(session: Session, name: str, limit: int) -> list[Tick]:
    """Read the ticks of a schedule that made jobs, newest first."""
    return [Tick(at, job) for at, job in session.rows(TICKS, {"name": name, "limit": limit})]


def put_schedule(session: Session, row: ScheduleRow) -> bool:
    """Write a schedule, if it still has the `rev` of the row."""
    if row.rev:
        return bool(session.rows(CHANGE, _lists([row])))
    args = {
        "name": row.name,
        "spec": row.spec.decode(),
        "watermark": row.watermark,
        "next": row.next,
        "last": row.last,
        "paused": row.paused,
    }
    return session.execute(NEW, args) == 1


def delete_schedule(session: Session, name: str) -> bool:
    """Delete a schedule and its ticks."""
    return session.execute(DELETE, {"name": name}) == 1


def fire_schedules(session: Session, firings: Sequence[Firing]) -> list[bool]:
    """Write schedules, ticks and jobs in one transaction; tell which schedules were written."""
    with session.transaction():
        known = [firing.row for firing in firings if firing.row.rev]
        left = {name for (name,) in session.rows(CHANGE, _lists(known))}
        written: list[bool] = []
        fired: list[Firing] = []
        for firing in firings:
            done = bool(firing.row.rev) and firing.row.name in left
            left.discard(firing.row.name)  # named twice it is written once
            written.append(done)
            if done and firing.ticks:
                fired.append(firing)
        if fired:
            _add_ticks(session, fired)
    return written


def _add_ticks(session: Session, firings: Sequence[Firing]) -> None:
    pairs = [
        (firing.row.name, at, job) for firing in firings for at, job in zip(firing.ticks, firing.jobs, strict=True)
    ]
    args = {
        "names": Strings([name for name, _, _ in pairs]),
        "ats": Bigints([at for _, at, _ in pairs]),
        "jobs": Uuids([job.id for _, _, job in pairs]),
    }
    new = {id for (id,) in session.rows(FIRED, args)}
    jobs: list[NewRow] = [job for _, _, job in pairs if job.id in new]
    if jobs:
        run(session, insert_script(jobs))
    session.execute(TRIM, {"names": Strings([firing.row.name for firing in firings]), "most": KEPT_TICKS})


def _lists(rows: Sequence[ScheduleRow]) -> dict[str, Any]:
    return {
        "names": Strings([row.name for row in rows]),
        "specs": Strings([row.spec for row in rows]),
        "watermarks": Bigints([row.watermark for row in rows]),
        "nexts": Bigints([row.next for row in rows]),
        "lasts": Bigints([row.last for row in rows]),
        "paused": Booleans([row.paused for row in rows]),
        "revs": Bigints([row.rev for row in rows]),
    }


def _row(values: Any) -> ScheduleRow:
    name, spec, *rest = values
    return ScheduleRow(name, spec.encode(), *rest)
