"""Inserting jobs. Owns the INSERTs into `jobs`, `bodies` and `tags`, and tells which rows were there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millrace.job import JobRow
from millrace.messages import Existing, InsertAnswer, NewRow
from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.keys import (
    MAX_INLINE,
    Holder,
    change_holders,
    find_refusal,
    free_keys,
    hold_on,
    key_holders,
    lasts,
)
from millrace.stores.sqlite.lanes import Pair
from millrace.stores.sqlite.rows import PENDING, SCHEDULED, encode_tags, rows_by_id
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.sql import Texts, portions

__all__ = ["MAX_INLINE", "insert_beside", "insert_plain", "insert_rows", "is_plain", "pair_of"]

# A conflict is one of jobs_uid or of jobs_key. That all rows went in is known by their count; which ones did not is
# looked up only where it falls short: RETURNING would cost each job 1.1 us.
INSERT = """INSERT INTO {p}jobs
 (uid,lane,state,priority,due,created,max_attempts,max_crashes,unique_key,tags,options,args)
 VALUES {rows} ON CONFLICT DO NOTHING"""
_COLUMNS = 12

# CROSS JOIN: from the list to the job, SEARCH jobs USING COVERING INDEX jobs_uid.
BODIES = """INSERT INTO {p}bodies(job,args) SELECT jobs.id, column2
 FROM (VALUES {rows}) CROSS JOIN {p}jobs AS jobs ON jobs.uid=column1"""
TAGS = """INSERT OR IGNORE INTO {p}tags(tag,job) SELECT column2, jobs.id
 FROM (VALUES {rows}) CROSS JOIN {p}jobs AS jobs ON jobs.uid=column1"""

THERE = "SELECT id, uid, unique_key FROM {p}jobs WHERE uid IN ({ids})"  # SEARCH jobs USING INDEX jobs_uid


def is_plain(row: NewRow) -> bool:
    """Tell whether a job is one row of `jobs` and nothing beside it."""
    return not row.tags and row.group is None and len(row.args) <= MAX_INLINE and not lasts(row.options)


def pair_of(row: NewRow | JobRow) -> Pair:
    """Return what the lane of a job is known by."""
    return (row.queue, row.task) if row.group is None else (row.queue, row.task, row.group)


def insert_plain(connection: Connection, texts: Texts, lane: int, row: NewRow, now: int) -> bool:
    """Insert one plain job by one statement; False where its id or its key was there already."""
    return connection.execute(texts.sized(INSERT, 1, _COLUMNS), _values(row, lane, row.args, None, now)) == 1


def insert_rows(session: Session, lanes: Mapping[Pair, int], rows: Sequence[NewRow]) -> InsertAnswer:
    """Insert jobs within the transaction that is open; `lanes` holds the lane of each."""
    now = session.now
    if (refusal := find_refusal(session, rows)) is not None:  # before anything is written
        place, number = refusal
        return InsertAnswer(now, {place: Existing(rows_by_id(session, [number])[number], by_key=True)}, place)
    inserted = 0
    beside = lasting = False
    for start, size in portions(len(rows)):
        flat: list[Any] = []
        for row in rows[start : start + size]:
            args: bytes | None = row.args
            tags = None
            if row.tags:
                tags = encode_tags(row.tags).decode()
                beside = True
            if len(row.args) > MAX_INLINE:
                args = None
                beside = True
            if row.unique_key is not None:
                lasting = lasting or row.options is not None
            flat += _values(row, lanes[pair_of(row)], args, tags, now)
        inserted += session.insert(INSERT, size, _COLUMNS, flat)
    existing = {} if inserted == len(rows) else _existing(session, rows, inserted)
    if beside or lasting:
        went_in = [row for index, row in enumerate(rows) if index not in existing] if existing else rows
        insert_beside(session, went_in)
        hold_on(session, went_in)
    if not existing:
        return InsertAnswer(now)
    stale = {holder.number: holder for holder, by_key in existing.values() if by_key and not holder.holds}
    if stale:
        return _take_over(session, lanes, rows, existing, stale)
    jobs = rows_by_id(session, list({holder.number for holder, _ in existing.values()}))
    kept_out = {index: rows[index] for index, (_, by_key) in existing.items() if by_key}
    changed = change_holders(session, kept_out, {index: jobs[existing[index][0].number] for index in kept_out})
    jobs |= rows_by_id(session, list(changed))
    told = {index: Existing(jobs[holder.number], by_key) for index, (holder, by_key) in existing.items()}
    return InsertAnswer(now, told)


def _take_over(
    session: Session,
    lanes: Mapping[Pair, int],
    rows: Sequence[NewRow],
    existing: Mapping[int, tuple[Holder, bool]],
    stale: Mapping[int, Holder],
) -> InsertAnswer:
    """Take keys from jobs that hold them no longer, and insert again what these kept out, and then what is left."""
    free_keys(session, stale.values())
    again = sorted(existing)
    answer = insert_rows(session, lanes, [rows[index] for index in again])
    return InsertAnswer(session.now, {again[place]: there for place, there in answer.existing.items()})


def _values(row: NewRow, lane: int, args: bytes | None, tags: str | None, now: int) -> tuple[Any, ...]:
    """Lay out one row of `INSERT`."""
    due = now + row.delay if row.due is None else row.due
    return (
        row.id, lane, PENDING if due <= now else SCHEDULED, row.priority, due, now,
        row.max_attempts, row.max_crashes, row.unique_key, tags, row.options, args,
    )  # fmt: skip


def insert_beside(session: Session, rows: Sequence[NewRow | JobRow]) -> None:
    """Write long arguments and tags of jobs that have just gone in."""
    session.values_execute(BODIES, [(row.id, row.args) for row in rows if len(row.args) > MAX_INLINE])
    session.values_execute(TAGS, [(row.id, tag) for row in rows for tag in row.tags])


def _existing(session: Session, rows: Sequence[NewRow], inserted: int) -> dict[int, tuple[Holder, bool]]:
    """Tell by index which rows did not go in: the job that is there, and whether it is there for its key.

    Numbers only grow and nobody else writes in this transaction, so of all jobs with an id of this call the
    `inserted` highest numbers are those that this call made.
    """
    there = sorted(session.list_rows(THERE, list({row.id for row in rows})), reverse=True)
    made = {uid: (id, key) for id, uid, key in there[:inserted]}
    before = {uid: id for id, uid, _ in there[inserted:]}
    holders = key_holders(session, {row.unique_key for row in rows})
    existing: dict[int, tuple[Holder, bool]] = {}
    for index, row in enumerate(rows):
        if row.id in before:
            existing[index] = Holder(before[row.id], row.id, holds=True), False
        elif row.id in made and made[row.id][1] == row.unique_key:
            before[row.id] = made[row.id][0]  # this one went in; another of the same id would not
        elif row.unique_key is not None:
            existing[index] = holders[row.unique_key], True
    return existing
