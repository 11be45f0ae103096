"""Changing jobs from outside their handlers: cancel, retry, reschedule, delete. Owns those four, by ids.

Each is one statement that tests the state it leaves, so that a claim or a finish that gets in between is seen; a job
that was not changed is then read, to be told as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.errors import UniqueViolation

from millrace.job import JobRow
from millrace.messages import Changed
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE, JobState
from millrace.stores.postgres.arrays import Bigints, Strings, Uuids
from millrace.stores.postgres.keys import HOLDERS, KEPT_KEY, free, stale_among
from millrace.stores.postgres.leases import KEPT_BY_ITSELF
from millrace.stores.postgres.remove import BELONGINGS, remove_ended
from millrace.stores.postgres.rows import COLUMNS, job_row, numbers, read_rows
from millrace.stores.postgres.session import Session

__all__ = ["cancel", "delete", "reschedule", "retry"]

# All by job_pkey.
_CHOSEN = "where j.id = any(%(ids)b) and j.state + 0 = any(%(states)b)"
CANCEL = f"""update {{s}}.job j set rev = j.rev + 1,
 state = case when j.state = 2 then 3 else 7 end,
 finished_at = case when j.state = 2 then null else (select {{now}}) end,
 expire_at = case when j.state <> 2 then {KEPT_BY_ITSELF} end,
 reason = case when j.state = 2 then j.reason else 'cancelled' end,
 lock_key = case when j.state = 2 then j.lock_key else {KEPT_KEY} end
{_CHOSEN} returning {COLUMNS}"""
RESCHEDULE = f"""update {{s}}.job j set rev = j.rev + 1, due = %(due)b,
 state = case when %(due)b <= (select {{now}}) then 1 else 0 end
{_CHOSEN} returning {COLUMNS}"""
# A completed job's success is first written as a row. Whose key another job holds is left out, and of two of one key
# the second: job_lock (lock_key=).
RETRY = f"""with o as materialized (
 select j.id, j.state, j.claim, j.attempt, j.worker, j.started_at, j.finished_at, j.unique_key, u.place
 from unnest(%(ids)b) with ordinality u(id, place) join {{s}}.job j on j.id = u.id
 where j.state + 0 = any(%(states)b) and not exists (select from {{s}}.job h
   where h.lock_key = j.unique_key and h.lock_key is not null and h.id <> j.id)
 order by j.id for no key update of j),
c as materialized (select o.*, row_number() over (
   partition by o.unique_key, case when o.unique_key is null then o.id end order by o.place) as turn from o),
w as (insert into {{s}}.attempt (job, claim, attempt, worker, started_at, finished_at, outcome)
 select c.id, c.claim, c.attempt, c.worker, c.started_at, c.finished_at, 'completed' from c
 where c.state = 5 and c.turn = 1),
r as (update {{s}}.job j set state = 1, due = (select {{now}}), rev = j.rev + 1, attempt = 0, crashes = 0,
  started_at = null, finished_at = null, expire_at = null, reason = null, lock_key = j.unique_key,
  args = coalesce(%(args)b, j.args), result = null, progress = null, progress_message = null,
  error_type = null, error = null
 from c where j.id = c.id and c.turn = 1 returning {COLUMNS})
select * from r"""

_RETURNED = COLUMNS.replace("uuid_send(j.id)", "uuid_send").replace("j.", "")
DELETE = f"""with gone as (delete from {{s}}.job j {_CHOSEN} returning j.id, {COLUMNS}),
{BELONGINGS}
select {_RETURNED} from gone"""

_TRIES = 3  # a key may be taken between the look and the write: the next look sees who has it


def cancel(session: Session, ids: Sequence[bytes], states: frozenset[JobState], retention: int | None) -> list[Changed]:
    """Cancel jobs; one that is not kept is deleted right after."""
    args = _chosen(ids, states & CANCELLABLE)
    changed = _jobs(session.rows(CANCEL, {**args, "retention": retention}))
    remove_ended(
        session,
        [row.id for row in changed.values() if row.expires is not None and row.expires == row.finished],
    )
    return _answer(session, ids, changed)


def retry(session: Session, ids: Sequence[bytes], states: frozenset[JobState], args: bytes | None) -> list[Changed]:
    """Make jobs pending, as if they had just been enqueued."""
    asked = states & RETRYABLE
    changed: dict[bytes, JobRow] = {}
    answers: list[Changed] = []
    holders: dict[str | None, JobRow] = {}
    for _ in range(_TRIES):
        left = [id for id in ids if id not in changed]
        given = {**_chosen(left, asked), "args": None if args is None else args.decode()}
        changed |= _jobs(_rows_of_free_keys(session, given))
        answers, holders, stale = _look(session, ids, asked, changed)
        if not stale:
            break
        session.rows(*free(stale))
    return [_held_up(each, holders.get(each.row.unique_key)) if each.row is not None else each for each in answers]


def _look(
    session: Session, ids: Sequence[bytes], asked: frozenset[JobState], changed: dict[bytes, JobRow]
) -> tuple[list[Changed], dict[str | None, JobRow], list[JobRow]]:
    """Tell each job as it now is, who holds the keys of those that were not changed, and who holds one no longer."""
    answers = _answer(session, ids, changed)
    keys = {
        each.row.unique_key
        for each in answers
        if not each.changed and each.row is not None and each.row.state in asked and each.row.unique_key is not None
    }
    if not keys:
        return answers, {}, []
    found = [(now, job_row(columns)) for now, *columns in session.rows(HOLDERS, {"keys": Strings(sorted(keys))})]
    stale = [row for now, job in found for row in stale_among([job], now)]
    return answers, {row.unique_key: row for _, row in found}, stale


def _rows_of_free_keys(session: Session, args: dict[str, Any]) -> list[Any]:
    for _ in range(_TRIES - 1):
        try:
            return session.rows(RETRY, args)
        except UniqueViolation:
            continue
    return session.rows(RETRY, args)


def _held_up(answer: Changed, holder: JobRow | None) -> Changed:
    if answer.changed or answer.row is None or holder is None or holder.id == answer.row.id:
        return answer
    return Changed(answer.row, changed=False, holder=holder)


def reschedule(session: Session, ids: Sequence[bytes], states: frozenset[JobState], due: int) -> list[Changed]:
    """Move due times."""
    changed = session.rows(RESCHEDULE, {**_chosen(ids, states & RESCHEDULABLE), "due": due})
    return _answer(session, ids, _jobs(changed))


def delete(session: Session, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
    """Delete jobs with all that belongs to them."""
    gone = _jobs(session.rows(DELETE, _chosen(ids, states & DELETABLE)))
    answers: list[Changed] = []
    others = read_rows(session, [id for id in dict.fromkeys(ids) if id not in gone])
    for id in ids:
        row = gone.pop(id, None)  # named a second time, it is no longer there
        answers.append(Changed(others.get(id), changed=False) if row is None else Changed(row, changed=True))
    return answers


def _chosen(ids: Sequence[bytes], states: frozenset[JobState]) -> dict[str, Any]:
    return {"ids": Uuids(sorted(set(ids)) if len(set(ids)) < len(ids) else ids), "states": Bigints(numbers(states))}


def _jobs(rows: Sequence[Any]) -> dict[bytes, JobRow]:
    return {columns[0]: job_row(columns) for columns in rows}


def _answer(session: Session, ids: Sequence[bytes], changed: dict[bytes, JobRow]) -> list[Changed]:
    """Tell each job as it now is."""
    others = read_rows(session, [id for id in dict.fromkeys(ids) if id not in changed])
    answers: list[Changed] = []
    seen = set[bytes]()
    for id in ids:
        row = changed.get(id)
        if row is None:
            answers.append(Changed(others.get(id), changed=False))
        else:
            answers.append(Changed(row, changed=id not in seen))
        seen.add(id)
    return answers
