"""Leases: extending them, with what comes in a beat, and taking them back. Owns their changes between claim and end."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from millrace.clock import micros
from millrace.holding import scope_of
from millrace.messages import Beat, Rescued
from millrace.options import read_options
from millrace.outcome import lost_lease
from millrace.states import JobState, OutcomeKind
from millrace.stores.sqlite.attempts import add_attempts, add_errors, add_results
from millrace.stores.sqlite.lanes import count_finals, lane_names, tally
from millrace.stores.sqlite.remove import remove_jobs
from millrace.stores.sqlite.rows import CANCELLED, COMPLETED, DEAD, ID_MASK, STATES
from millrace.stores.sqlite.session import Session

__all__ = ["any_lost", "extend", "read_cancelling", "rescue", "retention_end", "write_progress"]

# From the list to the job by primary key. Columns: id, claim, end of the lease.
EXTEND = """UPDATE {p}jobs SET lease=column3, rev=rev+1 FROM (VALUES {rows})
 WHERE id=column1 AND +claim=column2 AND +worker=? AND +lease IS NOT NULL RETURNING id, claim, state"""
HELD = """SELECT jobs.id, jobs.claim, jobs.state FROM (VALUES {rows}) CROSS JOIN {p}jobs AS jobs
 ON jobs.id=column1 AND +jobs.claim=column2 AND +jobs.worker=? AND +jobs.lease IS NOT NULL"""
PROGRESS = """INSERT OR REPLACE INTO {p}progress(job,claim,fraction,message) SELECT column1,column2,column3,column4
 FROM (VALUES {rows}) WHERE column1 IS NOT NULL"""

# SEARCH jobs USING INDEX jobs_lease (lease>?): the running jobs only.
CANCELLING = "SELECT uid, claim FROM {p}jobs WHERE lease>=0 AND +state=4 AND +worker=?"

FIRST_LEASE = "SELECT min(lease) FROM {p}jobs WHERE lease IS NOT NULL"  # the first entry of jobs_lease
# One conditional statement over the current state; due and ties are kept, so that a rescued job runs next. The inner:
# SEARCH jobs USING COVERING INDEX jobs_lease (lease<?). The outer: by INTEGER PRIMARY KEY.
RESCUE = """UPDATE {p}jobs NOT INDEXED SET
 state=CASE WHEN state=4 THEN 7 WHEN crashes+1>=max_crashes THEN 6 ELSE 2 END,
 reason=CASE WHEN state=4 THEN 'cancelled' WHEN crashes+1>=max_crashes THEN 'crashed' ELSE 'lease-lost' END,
 finished=CASE WHEN state=4 OR crashes+1>=max_crashes THEN ? END,
 expires=CASE WHEN state=4 THEN ? WHEN crashes+1>=max_crashes THEN ? END,
 crashes=crashes+1, attempt=max(attempt-1,0), lease=NULL, rev=rev+1
 WHERE id IN (SELECT id FROM {p}jobs WHERE lease<? ORDER BY lease LIMIT ?) AND +lease<?
 RETURNING id, uid, lane, state, claim, worker, attempt, started, crashes, max_crashes, options, tags"""
KEEP_UNTIL = "UPDATE {p}jobs SET expires=? WHERE id=?"


def extend(session: Session, worker: int, beats: Sequence[Beat]) -> list[JobState | None]:
    """Write beats within the open transaction; return each job's state, None where the claim is lost."""
    claims = [(beat.ref & ID_MASK, beat.claim) for beat in beats]
    ends = {
        claimed: session.now + beat.lease for claimed, beat in zip(claims, beats, strict=True) if beat.lease is not None
    }
    rows = session.values_rows(EXTEND, [(*claimed, end) for claimed, end in ends.items()], after=(worker,))
    rows += session.values_rows(HELD, list(set(claims) - ends.keys()), after=(worker,))
    held = {(id, claim): STATES[state] for id, claim, state in rows}
    progress: dict[int, tuple[int, float, str | None]] = {}
    results: dict[int, bytes] = {}
    for claimed, beat in zip(claims, beats, strict=True):
        if claimed in held:
            if beat.progress is not None:
                progress[claimed[0]] = beat.claim, beat.progress.fraction, beat.progress.message
            if beat.result is not None:
                results[claimed[0]] = beat.result
    write_progress(session, [(id, *rest) for id, rest in progress.items()])
    add_results(session, list(results.items()))
    return [held.get(claimed) for claimed in claims]


def write_progress(session: Session, rows: Sequence[tuple[int, int, float, str | None]]) -> None:
    """Write how far jobs say they are, in the place of earlier words: (job, claim, fraction, message)."""
    session.values_execute(PROGRESS, rows)


def read_cancelling(session: Session, worker: int) -> list[tuple[bytes, int]]:
    """Return (id, claim) of the worker's jobs that were asked to cancel."""
    return session.rows(CANCELLING, (worker,))


def any_lost(session: Session) -> bool:
    """Tell whether any lease has passed."""
    ((first,),) = session.rows(FIRST_LEASE)
    return first is not None and first < session.now


def rescue(session: Session, retention: int | None, dead_retention: int | None, limit: int) -> list[Rescued]:
    """Take back leases that have passed, within the open transaction."""
    now = session.now
    kept = None if retention is None else now + retention
    dead_kept = None if dead_retention is None else now + dead_retention
    rows = session.rows(RESCUE, (now, kept, dead_kept, now, limit, now))
    errors = {row[0]: lost_lease(row[8], row[9]) for row in rows}
    add_attempts(
        session,
        [
            (id, claim, attempt + 1, worker, started, now, OutcomeKind.LEASE_LOST.value, errors[id].text, None)
            for id, _, _, _, claim, worker, attempt, started, *_ in rows
        ],
    )
    add_errors(session, [(id, error.type, error.text) for id, error in errors.items()])
    gone: list[tuple[int, str | None]] = []
    for id, _, _, state, *_, options, tags in rows:
        end = dead_kept if state == DEAD else kept
        if state == CANCELLED and options is not None:
            end = retention_end(options, retention, now)
            session.execute(KEEP_UNTIL, (end, id))
        elif state == DEAD and (scope := scope_of(options)) is not None and dead_retention is not None:
            end = now + max(dead_retention, scope)
            session.execute(KEEP_UNTIL, (end, id))
        if state >= COMPLETED and end == now:
            gone.append((id, tags))
    removed = {id for id, _ in gone}
    count_finals(session, tally((row[2], row[3]) for row in rows if row[0] not in removed))
    remove_jobs(session, gone)
    names = lane_names(session, {row[2] for row in rows})
    return [
        Rescued(uid, *names[lane], claim, worker, STATES[state], crashes)
        for _, uid, lane, state, claim, worker, _, _, crashes, *_ in rows
    ]


def retention_end(options: bytes | None, retention: int | None, now: int) -> int | None:
    """Return until when an ended job is kept: by its own options, else by `retention`. `now`: it is not kept at all.

    It is not less than the time for which it holds its key beyond its end.
    """
    own = UNSET if options is None else read_options(options).retention
    if own is not UNSET:
        retention = None if own is None else micros(own)
    return None if retention is None else now + max(retention, scope_of(options) or 0)
