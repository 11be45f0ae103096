"""Giving jobs whole and taking them as they are. Owns reading many jobs with all beside them, and the full INSERT.

A page follows the numbers of the jobs, which grow with each insert: a walk begins where the last page ended, whatever
has come or gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millrace.errors import ConfigurationError
from millrace.holding import holds
from millrace.job import JobRow
from millrace.records import AttemptRow, LogRow
from millrace.states import OutcomeKind
from millrace.stores.sqlite.attempts import add_attempts, add_errors, add_results, write_logs
from millrace.stores.sqlite.follow import FOLLOWED, parents_of, tie
from millrace.stores.sqlite.insert import MAX_INLINE, insert_beside, pair_of
from millrace.stores.sqlite.keys import free_keys, hold_of, key_holders
from millrace.stores.sqlite.lanes import Lanes, Pair, count_finals, tally
from millrace.stores.sqlite.leases import write_progress
from millrace.stores.sqlite.rows import ID_MASK, NUMBERS, encode_tags, rows_by_id
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.sql import portions
from millrace.transfer import MAX_WHOLE, Restored, WholeJob

__all__ = ["export", "restore"]

_CURSOR = "sqlite-from-"
_DIGITS = 16

# SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?); a row of no lane only keeps a number, see `remove.py`.
NEXT = "SELECT id FROM {p}jobs NOT INDEXED WHERE id>? AND +lane>0 ORDER BY id LIMIT ?"
# SEARCH … USING INDEX attempts_job and logs_job (job=?), by primary key in `errors`
ATTEMPTS_OF = """SELECT job,attempt,claim,worker,started,finished,outcome,error,traceback
 FROM {p}attempts WHERE job IN ({ids}) ORDER BY job, id"""
LOGS_OF = "SELECT job,claim,at,level,message,data,attempt FROM {p}logs WHERE job IN ({ids}) ORDER BY job, id"
ERRORS_OF = "SELECT job, type FROM {p}errors WHERE job IN ({ids})"

WHOLE = """INSERT INTO {p}jobs
 (uid,lane,state,priority,due,created,attempt,max_attempts,claim,crashes,max_crashes,rev,worker,lease,started,finished,
  expires,reason,unique_key,tags,options,args,hold) VALUES {rows}"""
_COLUMNS = 23
# Of jobs that have just come those for which others wait: SEARCH links USING PRIMARY KEY (parent=?)
PARENTS = "SELECT DISTINCT parent FROM {p}links WHERE parent IN ({ids})"
PLACES = "SELECT uid, id FROM {p}jobs WHERE uid IN ({ids})"  # SEARCH jobs USING INDEX jobs_uid


def export(session: Session, limit: int, cursor: str | None) -> tuple[list[WholeJob], str | None]:
    """Read one page of whole jobs, oldest first, and the cursor of the next; within one read transaction.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    above = 0 if cursor is None else _read_cursor(cursor)
    limit = max(1, min(limit, MAX_WHOLE))
    session.execute("BEGIN")  # several statements, which must see one state of the file
    ids = [id for (id,) in session.rows(NEXT, (above, limit + 1))]
    page = ids[:limit]
    rows = rows_by_id(session, page)
    errors = dict(session.list_rows(ERRORS_OF, page))
    attempts = _attempts(session, page)
    logs = _logs(session, rows)
    waits = parents_of(session, [row.id for row in rows.values()])
    session.execute("COMMIT")
    jobs = [
        WholeJob(
            rows[id],
            errors.get(id),
            tuple(attempts.get(id, ())),
            tuple(logs.get(id, ())),
            tuple(sorted(waits.get(rows[id].id, ()))),
        )
        for id in page
    ]
    return jobs, f"{_CURSOR}{page[-1]:x}" if len(ids) > limit else None


def _read_cursor(cursor: str) -> int:
    digits = cursor.removeprefix(_CURSOR)
    if digits == cursor or not digits.isalnum() or len(digits) > _DIGITS:
        digits = "none"
    try:
        return int(digits, 16)
    except ValueError:
        raise ConfigurationError(
            f"cursor {cursor!r} is not one that this store gave; begin again without a cursor"
        ) from None


def _attempts(session: Session, ids: Sequence[int]) -> dict[int, list[AttemptRow]]:
    found: dict[int, list[AttemptRow]] = {}
    for job, attempt, claim, worker, started, finished, outcome, error, traceback in session.list_rows(
        ATTEMPTS_OF, ids
    ):
        kind = OutcomeKind(outcome)
        found.setdefault(job, []).append(AttemptRow(attempt, claim, worker, started, finished, kind, error, traceback))
    return found


def _logs(session: Session, rows: Mapping[int, JobRow]) -> dict[int, list[LogRow]]:
    found: dict[int, list[LogRow]] = {}
    for job, claim, at, level, message, data, attempt in session.list_rows(LOGS_OF, list(rows)):
        row = rows[job]
        found.setdefault(job, []).append(LogRow(row.ref, row.id, claim, at, level, message, data, attempt))
    return found


def restore(session: Session, jobs: Sequence[WholeJob]) -> Restored:
    """Insert whole jobs within the open transaction; tell which were left out."""
    answer = _left_out(session, jobs)
    out = answer.there | answer.held
    chosen = [job for index, job in enumerate(jobs) if index not in out]
    if chosen:
        lanes = Lanes.make(session, dict.fromkeys(pair_of(job.row) for job in chosen))
        for start, size in portions(len(chosen)):
            flat = [value for job in chosen[start : start + size] for value in _values(job.row, lanes, session.now)]
            session.insert(WHOLE, size, _COLUMNS, flat)
        _restore_beside(session, chosen)
        count_finals(session, tally((lanes[pair_of(job.row)], NUMBERS[job.row.state]) for job in chosen))
        tie(session, [(job.row.id, parent) for job in chosen for parent in job.waits])
        session.list_execute(FOLLOWED, [id for (id,) in session.list_rows(PARENTS, [job.row.id for job in chosen])])
    return answer


def _left_out(session: Session, jobs: Sequence[WholeJob]) -> Restored:
    """Tell by index which jobs cannot go in. Nobody else writes in this transaction, so it stays true."""
    ids = {uid for uid, _ in session.list_rows(PLACES, list({job.row.id for job in jobs}))}
    holders = key_holders(session, {job.row.unique_key for job in jobs})
    free_keys(session, holders.values())
    keys = {key for key, holder in holders.items() if holder.holds}
    there: set[int] = set()
    held: set[int] = set()
    for index, job in enumerate(jobs):
        row = job.row
        key = row.unique_key if holds(row, session.now) else None
        if row.id in ids:
            there.add(index)
        elif key is not None and key in keys:
            held.add(index)
        else:
            ids.add(row.id)
            if key is not None:
                keys.add(key)
    return Restored(frozenset(there), frozenset(held))


def _values(row: JobRow, lanes: Mapping[Pair, int], now: int) -> tuple[Any, ...]:
    """Lay out one row of `WHOLE`."""
    return (
        row.id, lanes[pair_of(row)], NUMBERS[row.state], row.priority, row.due, row.created, row.attempt,
        row.max_attempts, row.claim, row.crashes, row.max_crashes, row.rev, row.worker, row.lease, row.started,
        row.finished, row.expires, row.reason, row.unique_key, encode_tags(row.tags).decode() if row.tags else None,
        row.options, row.args if len(row.args) <= MAX_INLINE else None, hold_of(row, now),
    )  # fmt: skip


def _restore_beside(session: Session, jobs: Sequence[WholeJob]) -> None:
    """Write what belongs to jobs that have just gone in."""
    insert_beside(session, [job.row for job in jobs])
    numbers: dict[bytes, int] = dict(session.list_rows(PLACES, [job.row.id for job in jobs]))
    placed = [(numbers[job.row.id] & ID_MASK, job) for job in jobs]
    add_results(session, [(id, job.row.result) for id, job in placed if job.row.result is not None])
    add_errors(session, [(id, job.error_type or "", job.row.error) for id, job in placed if job.row.error is not None])
    write_progress(
        session,
        [
            (id, job.row.claim, job.row.progress.fraction, job.row.progress.message)
            for id, job in placed
            if job.row.progress is not None
        ],
    )
    add_attempts(
        session,
        [
            (id, each.claim, each.attempt, each.worker, each.started, each.finished, each.outcome.value, each.error,
             each.traceback)
            for id, job in placed
            for each in job.attempts
        ],
    )  # fmt: skip
    write_logs(
        session,
        [
            (id, line.claim, line.attempt, line.at, line.level, line.message, line.data)
            for id, job in placed
            for line in job.logs
        ],
    )
