"""Giving jobs whole and taking them as they are. Owns reading many jobs with all beside them, and the full INSERT.

A page follows the ids of the jobs, which is also the order in which they are listed: a walk begins where the last page
ended, whatever has come or gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from millrace.errors import ConfigurationError
from millrace.holding import holds, scope_of
from millrace.records import AttemptRow, LogRow
from millrace.states import OutcomeKind
from millrace.stores.postgres.arrays import Array, Bigints, Doubles, Strings, Uuid, Uuids
from millrace.stores.postgres.follow import parents_of, tie_restored
from millrace.stores.postgres.insert import HAS_GROUPS
from millrace.stores.postgres.keys import HOLDERS, free, stale_among
from millrace.stores.postgres.rows import COLUMNS, NUMBERS, decode_text, encode_text, job_row
from millrace.stores.postgres.session import Session
from millrace.transfer import MAX_WHOLE, Restored, WholeJob

__all__ = ["export", "restore"]

_CURSOR = "postgres-from-"

# All statements of a page see one state of the database, and leave nothing behind on a pooler's connection.
_AS_ONE: Final = "set transaction isolation level repeatable read, read only"
# job_pkey, in order. The first page may begin with the lowest id there is.
# `grp` is a column of the job or, in a schema of version 1, that of the one row beside it.
_PAGE = f"""select {COLUMNS}, (select grp from {{s}}.job g where g.id = j.id), j.error_type
from {{s}}.job j cross join (select null::text as grp) d"""
FIRST: Final = _PAGE + " order by j.id limit %(limit)b"
NEXT: Final = _PAGE + " where j.id > %(above)b order by j.id limit %(limit)b"
# attempt_pkey (job=), log_pkey (job=), in order
ATTEMPTS_OF: Final = """select uuid_send(a.job), a.attempt, a.claim, a.worker, a.started_at, a.finished_at, a.outcome,
 a.error, a.traceback from {s}.attempt a where a.job = any(%(ids)b) order by a.job, a.claim"""
LOGS_OF: Final = """select uuid_send(l.job), l.claim, l.at, l.level, l.message, l.data, l.attempt
 from {s}.log l where l.job = any(%(ids)b) order by l.job, l.seq"""

# One statement, so that all of a page goes in or nothing. `on conflict do nothing` without a target means job_pkey and
# job_lock, rows of the same page included. What belongs to a job follows it only where it went in.
RESTORE: Final = """with i as (
 insert into {s}.job (id, due, created_at, worker, lease_until, started_at, finished_at, expire_at, claim, rev, attempt,
   max_attempts, crashes, max_crashes, state, priority, progress, reason, queue, task, unique_key, lock_key, tags,
   options, args, result, progress_message, error_type, error)
 select u.id, u.due, u.created, u.worker, u.lease, u.started, u.finished, u.expires, u.claim, u.rev, u.attempt,
   u.max_attempts, u.crashes, u.max_crashes, u.state, u.priority, u.progress, u.reason, u.queue, u.task, u.key, u.lock,
   case when u.tags is not null then array(select jsonb_array_elements_text(u.tags::jsonb)) end,
   u.options, u.args, u.result, u.message, u.error_type, u.error
 from unnest(%(id)b, %(due)b, %(created)b, %(worker)b, %(lease)b, %(started)b, %(finished)b, %(expires)b, %(claim)b,
     %(rev)b, %(attempt)b, %(max_attempts)b, %(crashes)b, %(max_crashes)b, %(state)b, %(priority)b, %(progress)b,
     %(reason)b, %(queue)b, %(task)b, %(key)b, %(lock)b, %(tags)b, %(options)b, %(args)b, %(result)b, %(message)b,
     %(error_type)b, %(error)b) with ordinality
   u(id, due, created, worker, lease, started, finished, expires, claim, rev, attempt, max_attempts, crashes,
     max_crashes, state, priority, progress, reason, queue, task, key, lock, tags, options, args, result, message,
     error_type, error, place)
 order by u.place
 on conflict do nothing returning id, tags),
t as (insert into {s}.tag (tag, job) select g.tag, i.id from i cross join lateral unnest(i.tags) g(tag)
 on conflict do nothing),
a as (insert into {s}.attempt (job, claim, attempt, worker, started_at, finished_at, outcome, error, traceback)
 select x.job, x.claim, x.attempt, x.worker, x.started, x.finished, x.outcome, x.error, x.trace
 from unnest(%(a_job)b, %(a_claim)b, %(a_attempt)b, %(a_worker)b, %(a_started)b, %(a_finished)b, %(a_outcome)b,
     %(a_error)b, %(a_trace)b) x(job, claim, attempt, worker, started, finished, outcome, error, trace)
 join i on i.id = x.job
 on conflict do nothing),
l as (insert into {s}.log (job, claim, attempt, at, level, message, data)
 select x.job, x.claim, x.attempt, x.at, x.level, x.message, x.data
 from unnest(%(l_job)b, %(l_claim)b, %(l_attempt)b, %(l_at)b, %(l_level)b, %(l_message)b, %(l_data)b)
   with ordinality x(job, claim, attempt, at, level, message, data, place)
 join i on i.id = x.job
 order by x.place)
select uuid_send(i.id) from i"""
CLOCK: Final = "select {now}"
RESTORE_GROUPED: Final = (
    RESTORE.replace("error_type, error)\n select", "error_type, error, grp)\n select")
    .replace("u.error_type, u.error\n from", "u.error_type, u.error, u.grp\n from")
    .replace("%(error)b) with ordinality", "%(error)b, %(grp)b) with ordinality")
    .replace("error_type, error, place)", "error_type, error, grp, place)")
)
PLACES: Final = "select uuid_send(j.id) from {s}.job j where j.id = any(%(ids)b)"  # job_pkey


def export(session: Session, limit: int, cursor: str | None) -> tuple[list[WholeJob], str | None]:
    """Read one page of whole jobs, by id, and the cursor of the next.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    above = None if cursor is None else _read_cursor(cursor)
    limit = max(1, min(limit, MAX_WHOLE))
    with session.transaction():
        session.execute(_AS_ONE)
        if above is None:
            found = session.rows(FIRST, {"limit": limit + 1})
        else:
            found = session.rows(NEXT, {"limit": limit + 1, "above": Uuid(above)})
        page = [(replace(job_row(columns), group=group), error_type) for *columns, group, error_type in found[:limit]]
        ids = {"ids": Uuids([row.id for row, _ in page])}
        attempts = _attempts(session.rows(ATTEMPTS_OF, ids))
        logs = _logs(session.rows(LOGS_OF, ids))
        waits = parents_of(session, [row.id for row, _ in page])
    jobs = [
        WholeJob(
            row,
            error_type,
            tuple(attempts.get(row.id, ())),
            tuple(logs.get(row.id, ())),
            tuple(sorted(waits.get(row.id, ()))),
        )
        for row, error_type in page
    ]
    return jobs, f"{_CURSOR}{UUID(bytes=page[-1][0].id)}" if len(found) > limit else None


def _read_cursor(cursor: str) -> bytes:
    try:
        if cursor.startswith(_CURSOR):
            return UUID(cursor.removeprefix(_CURSOR)).bytes
    except ValueError:
        pass
    raise ConfigurationError(f"cursor {cursor!r} is not one that this store gave; begin again without a cursor")


def _attempts(rows: Sequence[Any]) -> dict[bytes, list[AttemptRow]]:
    found: dict[bytes, list[AttemptRow]] = {}
    for job, attempt, claim, worker, started, finished, outcome, error, traceback in rows:
        found.setdefault(job, []).append(
            AttemptRow(
                attempt, claim, worker, started, finished, OutcomeKind(outcome), _decoded(error), _decoded(traceback)
            )
        )
    return found


def _logs(rows: Sequence[Any]) -> dict[bytes, list[LogRow]]:
    found: dict[bytes, list[LogRow]] = {}
    for job, claim, at, level, message, data, attempt in rows:
        line = LogRow(0, job, claim, at, level, decode_text(message), None if data is None else data.encode(), attempt)
        found.setdefault(job, []).append(line)
    return found


def restore(session: Session, jobs: Sequence[WholeJob]) -> Restored:
    """Insert whole jobs, and tell which were left out; one statement where none was."""
    firsts: dict[bytes, int] = {}
    for index, job in enumerate(jobs):
        firsts.setdefault(job.row.id, index)
    now = session.rows(CLOCK)[0][0] if any(scope_of(job.row.options) is not None for job in jobs) else 0
    rows = _restore(session, [jobs[index] for index in firsts.values()], now) if jobs else []
    tie_restored(session, jobs)  # again where they are there already: an earlier restore may have broken off here
    went_in = {firsts[id] for (id,) in rows}
    out = [index for index in range(len(jobs)) if index not in went_in]
    if not out:
        return Restored()
    known = {id for (id,) in session.rows(PLACES, {"ids": Uuids([jobs[index].row.id for index in out])})}
    there = frozenset(index for index in out if jobs[index].row.id in known)
    held = frozenset(out) - there
    if held and _free(session, {jobs[index].row.unique_key for index in held}):
        again = sorted(held)
        left = restore(session, [jobs[index] for index in again]).held
        held = frozenset(again[place] for place in left)
    return Restored(there, held)


def _free(session: Session, keys: set[str | None]) -> bool:
    """Take keys from jobs that hold them no longer; tell whether there were any."""
    found = session.rows(HOLDERS, {"keys": Strings(list(keys))})
    stale = [row for now, *columns in found for row in stale_among([job_row(columns)], now)]
    if stale:
        session.rows(*free(stale))
    return bool(stale)


def _restore(session: Session, jobs: Sequence[WholeJob], now: int) -> list[Any]:
    args = _arguments(jobs, now)
    queues = {job.row.queue for job in jobs if job.row.group is not None}
    if not queues:
        return session.rows(RESTORE, args)
    session.rows(HAS_GROUPS, {"names": Strings(sorted(queues))})
    return session.rows(RESTORE_GROUPED, args | {"grp": Strings([job.row.group for job in jobs])})


def _arguments(jobs: Sequence[WholeJob], now: int) -> dict[str, Array]:
    attempts = [(job.row.id, each) for job in jobs for each in job.attempts]
    logs = [(job.row.id, line) for job in jobs for line in job.logs]
    return {
        **_row_arguments(jobs, now),
        "a_job": Uuids([id for id, _ in attempts]),
        "a_claim": Bigints([each.claim for _, each in attempts]),
        "a_attempt": Bigints([each.attempt for _, each in attempts]),
        "a_worker": Bigints([each.worker for _, each in attempts]),
        "a_started": Bigints([each.started for _, each in attempts]),
        "a_finished": Bigints([each.finished for _, each in attempts]),
        "a_outcome": Strings([each.outcome.value for _, each in attempts]),
        "a_error": Strings([_encoded(each.error) for _, each in attempts]),
        "a_trace": Strings([_encoded(each.traceback) for _, each in attempts]),
        "l_job": Uuids([id for id, _ in logs]),
        "l_claim": Bigints([line.claim for _, line in logs]),
        "l_attempt": Bigints([line.attempt for _, line in logs]),
        "l_at": Bigints([line.at for _, line in logs]),
        "l_level": Bigints([line.level for _, line in logs]),
        "l_message": Strings([encode_text(line.message) for _, line in logs]),
        "l_data": Strings([line.data for _, line in logs]),
    }


def _row_arguments(jobs: Sequence[WholeJob], now: int) -> dict[str, Array]:
    rows = [job.row for job in jobs]
    progress = [row.progress for row in rows]
    return {
        "id": Uuids([row.id for row in rows]),
        "due": Bigints([row.due for row in rows]),
        "created": Bigints([row.created for row in rows]),
        "worker": Bigints([row.worker for row in rows]),
        "lease": Bigints([row.lease for row in rows]),
        "started": Bigints([row.started for row in rows]),
        "finished": Bigints([row.finished for row in rows]),
        "expires": Bigints([row.expires for row in rows]),
        "claim": Bigints([row.claim for row in rows]),
        "rev": Bigints([row.rev for row in rows]),
        "attempt": Bigints([row.attempt for row in rows]),
        "max_attempts": Bigints([row.max_attempts for row in rows]),
        "crashes": Bigints([row.crashes for row in rows]),
        "max_crashes": Bigints([row.max_crashes for row in rows]),
        "state": Bigints([NUMBERS[row.state] for row in rows]),
        "priority": Bigints([row.priority for row in rows]),
        "progress": Doubles([each and each.fraction for each in progress]),
        "reason": Strings([row.reason for row in rows]),
        "queue": Strings([row.queue for row in rows]),
        "task": Strings([row.task for row in rows]),
        "key": Strings([row.unique_key for row in rows]),
        "lock": Strings([row.unique_key if holds(row, now) else None for row in rows]),
        "tags": Strings([msgspec.json.encode(row.tags) if row.tags else None for row in rows]),
        "options": Strings([row.options for row in rows]),
        "args": Strings([row.args for row in rows]),
        "result": Strings([row.result for row in rows]),
        "message": Strings([each and _encoded(each.message) for each in progress]),
        "error_type": Strings([job.error_type if job.row.error is not None else None for job in jobs]),
        "error": Strings([_encoded(row.error) for row in rows]),
    }


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else encode_text(text)


def _decoded(text: str | None) -> str | None:
    return None if text is None else decode_text(text)
