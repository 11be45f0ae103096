"""Inserting jobs. Owns the INSERTs into `jobs`, `bodies` and `tags`, and tells which rows were there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millrace.job import JobRow
from millrace.messages import Existing, InsertAnswer, NewRow
from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.rows import PENDING, SCHEDULED, encode_tags, key_holders, rows_by_id
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.sql import Texts, portions

__all__ = ["MAX_INLINE", "insert_beside", "insert_plain", "insert_rows", "is_plain"]

MAX_INLINE = 1024  #: bytes of arguments kept in the job's row; longer ones would be copied with each later change

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
    return not row.tags and len(row.args) <= MAX_INLINE


def insert_plain(connection: Connection, texts: Texts, lane: int, row: NewRow, now: int) -> bool:
    """Insert one plain job by one statement; False where its id or its key was there already."""
    return connection.execute(texts.sized(INSERT, 1, _COLUMNS), _values(row, lane, row.args, None, now)) == 1


def insert_rows(session: Session, lanes: Mapping[tuple[str, str], int], rows: Sequence[NewRow]) -> InsertAnswer:
    """Insert jobs within the transaction that is open; `lanes` holds the lane of each."""
    now = session.now
    inserted = 0
    beside = False
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
            flat += _values(row, lanes[row.queue, row.task], args, tags, now)
        inserted += session.insert(INSERT, size, _COLUMNS, flat)
    if inserted == len(rows):
        if beside:
            insert_beside(session, rows)
        return InsertAnswer(now)
    existing = _existing(session, rows, inserted)
    if beside:
        insert_beside(session, [row for index, row in enumerate(rows) if index not in existing])
    jobs = rows_by_id(session, list({id for id, _ in existing.values()}))
    return InsertAnswer(now, {index: Existing(jobs[id], by_key) for index, (id, by_key) in existing.items()})


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


def _existing(session: Session, rows: Sequence[NewRow], inserted: int) -> dict[int, tuple[int, bool]]:
    """Tell by index which rows did not go in: the number of the job that is there, and whether it holds the key.

    Numbers only grow and nobody else writes in this transaction, so of all jobs with an id of this call the
    `inserted` highest numbers are those that this call made.
    """
    there = sorted(session.list_rows(THERE, list({row.id for row in rows})), reverse=True)
    made = {uid: (id, key) for id, uid, key in there[:inserted]}
    before = {uid: id for id, uid, _ in there[inserted:]}
    holders = key_holders(session, {row.unique_key for row in rows})
    existing: dict[int, tuple[int, bool]] = {}
    for index, row in enumerate(rows):
        if row.id in before:
            existing[index] = before[row.id], False
        elif row.id in made and made[row.id][1] == row.unique_key:
            before[row.id] = made[row.id][0]  # this one went in; another of the same id would not
        elif row.unique_key is not None:
            existing[index] = holders[row.unique_key][0], True
    return existing
