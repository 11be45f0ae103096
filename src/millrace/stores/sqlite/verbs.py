"""Changing jobs from outside their handlers: cancel, retry, reschedule, delete. Owns those four, by ids.

Each reads the jobs in the transaction in which it changes them, so what it decides by cannot have changed meanwhile.
Callers hand over some hundreds of ids at a time, to let others write in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from millrace.job import JobRow
from millrace.messages import Changed
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE, JobState
from millrace.stores.sqlite.attempts import add_attempts, clear_beside
from millrace.stores.sqlite.insert import MAX_INLINE
from millrace.stores.sqlite.keys import free_keys, key_holders, take_again
from millrace.stores.sqlite.lanes import count_finals, tally
from millrace.stores.sqlite.leases import retention_end
from millrace.stores.sqlite.remove import remove_jobs
from millrace.stores.sqlite.rows import (
    CANCELLED,
    ID_MASK,
    LANE_SHIFT,
    NUMBERS,
    PENDING,
    SCHEDULED,
    encode_tags,
    rows_by_uid,
)
from millrace.stores.sqlite.session import Session

__all__ = ["cancel", "delete", "replace_args", "reschedule", "retry"]

# All by SEARCH jobs USING INTEGER PRIMARY KEY.
ASK_TO_CANCEL = "UPDATE {p}jobs SET state=4, rev=rev+1 WHERE id IN ({ids})"
CANCEL = """UPDATE {p}jobs SET state=7, finished=?, expires=column2, reason='cancelled', rev=rev+1
 FROM (VALUES {rows}) WHERE id=column1"""
RETRY = """UPDATE {p}jobs SET state=2, due=?, attempt=0, crashes=0, started=NULL, finished=NULL, expires=NULL,
 reason=NULL, rev=rev+1 WHERE id IN ({ids})"""
NEW_ARGS = "UPDATE {p}jobs SET args=? WHERE id IN ({ids})"
NEW_BODIES = """INSERT OR REPLACE INTO {p}bodies(job,args) SELECT id, ? FROM {p}jobs NOT INDEXED WHERE id IN ({ids})"""
NO_BODIES = "DELETE FROM {p}bodies WHERE job IN ({ids})"  # SEARCH bodies USING INTEGER PRIMARY KEY
RESCHEDULE = "UPDATE {p}jobs SET state=?, due=?, rev=rev+1 WHERE id IN ({ids})"


def cancel(session: Session, ids: Sequence[bytes], states: frozenset[JobState], retention: int | None) -> list[Changed]:
    """Cancel jobs within the open transaction."""
    now = session.now
    before = rows_by_uid(session, ids)
    chosen = [row for row in before.values() if row.state in states & CANCELLABLE]
    session.list_execute(ASK_TO_CANCEL, [_number(row) for row in chosen if row.state is JobState.RUNNING])
    ends = [(row, retention_end(row.options, retention, now)) for row in chosen if row.state is not JobState.RUNNING]
    session.values_execute(CANCEL, [(_number(row), end) for row, end in ends], before=(now,))
    answer = _answer(session, ids, before, chosen, states & CANCELLABLE)
    _remove(session, [row for row, end in ends if end == now])
    count_finals(session, tally((_lane(row), CANCELLED) for row, end in ends if end != now))
    return answer


def retry(session: Session, ids: Sequence[bytes], states: frozenset[JobState], args: bytes | None) -> list[Changed]:
    """Make jobs pending within the open transaction, as if they had just been enqueued."""
    before = rows_by_uid(session, ids)
    chosen = [before[id] for id in dict.fromkeys(ids) if id in before and before[id].state in states & RETRYABLE]
    # a failed job holds its own key
    found = key_holders(session, {row.unique_key for row in chosen})
    free_keys(session, found.values())
    holders = {key: holder.id for key, holder in found.items() if holder.holds}
    free: list[JobRow] = []
    held_up: dict[bytes, bytes] = {}
    for row in chosen:
        holder = row.id if row.unique_key is None else holders.setdefault(row.unique_key, row.id)
        if holder == row.id:
            free.append(row)
        else:
            held_up[row.id] = holder
    add_attempts(
        session,
        [
            (_number(row), row.claim, row.attempt, row.worker, row.started, row.finished, row.state.value, None, None)
            for row in free
            if row.state is JobState.COMPLETED
        ],
    )
    numbers = [_number(row) for row in free]
    session.list_execute(RETRY, numbers, before=(session.now,))
    take_again(session, free)
    clear_beside(session, numbers)
    if args is not None:
        replace_args(session, numbers, args)
    count_finals(session, tally(((_lane(row), NUMBERS[row.state]) for row in free), -1))
    answer = _answer(session, ids, before, free, states & RETRYABLE)
    rows = rows_by_uid(session, list(set(held_up.values())))
    return [
        Changed(each.row, changed=False, holder=rows[held_up[id]]) if id in held_up else each
        for id, each in zip(ids, answer, strict=True)
    ]


def reschedule(session: Session, ids: Sequence[bytes], states: frozenset[JobState], due: int) -> list[Changed]:
    """Move due times within the open transaction."""
    before = rows_by_uid(session, ids)
    chosen = [row for row in before.values() if row.state in states & RESCHEDULABLE]
    state = PENDING if due <= session.now else SCHEDULED
    session.list_execute(RESCHEDULE, [_number(row) for row in chosen], before=(state, due))
    return _answer(session, ids, before, chosen, states & RESCHEDULABLE)


def delete(session: Session, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
    """Delete jobs within the open transaction."""
    before = rows_by_uid(session, ids)
    chosen = [row for row in before.values() if row.state in states & DELETABLE]
    _remove(session, chosen)
    count_finals(session, tally(((_lane(row), NUMBERS[row.state]) for row in chosen), -1))
    gone = {row.id for row in chosen}
    answers: list[Changed] = []
    for id in ids:
        answers.append(Changed(before.get(id), changed=id in gone))
        if id in gone:
            del before[id]  # named a second time, it is no longer there
            gone.remove(id)
    return answers


def replace_args(session: Session, numbers: Sequence[int], args: bytes) -> None:
    """Give jobs other arguments, within the open transaction."""
    if len(args) <= MAX_INLINE:
        session.list_execute(NEW_ARGS, numbers, before=(args,))
        session.list_execute(NO_BODIES, numbers)
    else:
        session.list_execute(NEW_ARGS, numbers, before=(None,))
        session.list_execute(NEW_BODIES, numbers, before=(args,))


def _number(row: JobRow) -> int:
    return row.ref & ID_MASK


def _lane(row: JobRow) -> int:
    return row.ref >> LANE_SHIFT


def _remove(session: Session, rows: Sequence[JobRow]) -> None:
    remove_jobs(session, [(_number(row), encode_tags(row.tags).decode() if row.tags else None) for row in rows])


def _answer(
    session: Session,
    ids: Sequence[bytes],
    before: Mapping[bytes, JobRow],
    changed: Sequence[JobRow],
    states: frozenset[JobState],
) -> list[Changed]:
    """Tell each job as it now is. One that is named again changes again only if its new state is among `states`."""
    after = rows_by_uid(session, [row.id for row in changed])
    answers: list[Changed] = []
    seen: set[bytes] = set()
    for id in ids:
        row = after.get(id)
        if row is None:
            answers.append(Changed(before.get(id), changed=False))
        else:
            answers.append(Changed(row, changed=id not in seen or row.state in states))
        seen.add(id)
    return answers
