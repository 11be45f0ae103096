"""Unique keys: who holds one, giving it up, and changing a holder that waits. Owns the column `hold`.

A key becomes free with time, or with a claim, without anything being written: the next who asks for it takes it over.
All of this is read and written in one transaction, beside which nobody writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from millrace.holding import STARTED, held, holds, scope_of
from millrace.job import HELD, JobRow
from millrace.messages import CHANGES, NewRow
from millrace.states import RESCHEDULABLE
from millrace.stores.sqlite.rows import COMPLETED, ID_MASK, PENDING, SCHEDULED
from millrace.stores.sqlite.session import Session

__all__ = [
    "MAX_INLINE",
    "Holder",
    "change_holders",
    "find_refusal",
    "free_keys",
    "hold_of",
    "hold_on",
    "key_holders",
    "lasts",
    "take_again",
]

MAX_INLINE = 1024  #: bytes of arguments kept in the job's row; longer ones would be copied with each later change

# SEARCH jobs USING INDEX jobs_key
HOLDERS = """SELECT unique_key, id, uid, state, started, created, options FROM {p}jobs
 WHERE unique_key IN ({ids}) AND unique_key IS NOT NULL AND ifnull(hold,state<5)"""
IDS = "SELECT uid FROM {p}jobs WHERE uid IN ({ids})"  # SEARCH jobs USING COVERING INDEX jobs_uid
FREE = "UPDATE {p}jobs NOT INDEXED SET hold=0 WHERE id IN ({ids})"  # by INTEGER PRIMARY KEY
HOLD_ON = "UPDATE {p}jobs SET hold=1 WHERE uid IN ({ids})"  # SEARCH jobs USING INDEX jobs_uid
TAKE_AGAIN = "UPDATE {p}jobs SET hold=column2 FROM (VALUES {rows}) WHERE id=column1"  # by INTEGER PRIMARY KEY
# Likewise. The columns of the list: 1 id, 2 arguments if short, 3 due or null, 4 state or null, 5 changes.
CHANGE = """UPDATE {p}jobs SET args=column2, due=coalesce(column3,due), state=coalesce(column4,state), rev=rev+column5
 FROM (VALUES {rows}) WHERE id=column1"""
NO_BODIES = "DELETE FROM {p}bodies WHERE job IN ({ids})"  # SEARCH bodies USING INTEGER PRIMARY KEY
NEW_BODIES = """INSERT OR REPLACE INTO {p}bodies(job,args) SELECT column1,column2
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A job that the index has for a key, and whether it still holds it."""

    number: int
    id: bytes
    holds: bool


def key_holders(session: Session, keys: Collection[str | None]) -> dict[str, Holder]:
    """Return the job that the index has for each unique key, where there is one."""
    found = session.list_rows(HOLDERS, [key for key in keys if key is not None])
    return {
        key: Holder(
            number,
            id,
            held(scope_of(options), live=state < COMPLETED, started=started, created=created, now=session.now),
        )
        for key, number, id, state, started, created, options in found
    }


def free_keys(session: Session, holders: Iterable[Holder]) -> None:
    """Take their keys from jobs that hold them no longer."""
    session.list_execute(FREE, [holder.number for holder in holders if not holder.holds])


def hold_on(session: Session, rows: Sequence[NewRow]) -> None:
    """Note which of the jobs that have just gone in hold their keys beyond their ends."""
    session.list_execute(HOLD_ON, [row.id for row in rows if lasts(row.options)])


def take_again(session: Session, rows: Sequence[JobRow]) -> None:
    """Give jobs their keys back that have just been retried, where the index did not have them all the while."""
    scoped = [row for row in rows if scope_of(row.options) is not None]
    session.values_execute(TAKE_AGAIN, [(row.ref & ID_MASK, 1 if lasts(row.options) else None) for row in scoped])


def hold_of(row: JobRow, now: int) -> int | None:
    """Return the column `hold` of a job that comes as it is."""
    scope = scope_of(row.options)
    if scope is None or (scope == STARTED and holds(row, now)):
        return None
    return int(holds(row, now))


def find_refusal(session: Session, rows: Sequence[NewRow]) -> tuple[int, int] | None:
    """Return the place of the first row that rejects and whose key is held, and the number of the holder."""
    keys = {row.unique_key for row in rows if row.on_conflict == "reject"}
    if not keys:
        return None
    holders = {key: holder for key, holder in key_holders(session, keys).items() if holder.holds}
    if not holders:
        return None
    there = {id for (id,) in session.list_rows(IDS, list({row.id for row in rows}))}
    for place, row in enumerate(rows):
        holder = holders.get(row.unique_key or "")
        if row.on_conflict == "reject" and holder is not None and row.id not in there:
            return place, holder.number
    return None


def change_holders(session: Session, rows: Mapping[int, NewRow], holders: Mapping[int, JobRow]) -> set[int]:
    """Change holders that wait as the jobs say that they keep out; return the numbers of the changed ones.

    Args:
        session: Of the open transaction.
        rows: The jobs that did not go in, by their places in the call.
        holders: By the same places, who holds their keys.
    """
    args: dict[int, bytes] = {}
    dues: dict[int, int] = {}
    times: dict[int, int] = {}
    for place, row in sorted(rows.items()):
        holder = holders[place]
        if row.on_conflict not in CHANGES or holder.state not in RESCHEDULABLE:
            continue
        number = holder.ref & ID_MASK
        args[number] = row.args
        times[number] = times.get(number, 0) + 1
        if row.on_conflict == "debounce" and (holder.due or 0) < HELD:
            dues[number] = session.now + row.delay if row.due is None else row.due
    session.values_execute(
        CHANGE,
        [
            (
                number,
                new if len(new) <= MAX_INLINE else None,
                dues.get(number),
                _state(session, dues.get(number)),
                times[number],
            )
            for number, new in args.items()
        ],
    )
    session.list_execute(NO_BODIES, list(args))
    session.values_execute(NEW_BODIES, [(number, new) for number, new in args.items() if len(new) > MAX_INLINE])
    return set(args)


def _state(session: Session, due: int | None) -> int | None:
    if due is None:
        return None
    return PENDING if due <= session.now else SCHEDULED


def lasts(options: bytes | None) -> bool:
    """Tell whether a job of these options holds its key beyond its end."""
    scope = scope_of(options)
    return scope is not None and scope != STARTED
