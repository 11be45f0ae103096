"""Changing jobs from outside their handlers: insert, cancel, retry, reschedule, delete, expire, purge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from millrace.job import HELD
from millrace.messages import CHANGES, Changed, Conflict, Existing, InsertAnswer, NewRow
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE, JobState, OutcomeKind, Reason
from millrace.stores.memory.attempts import end, own_retention
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.shelf import Shelf

__all__ = ["cancel", "delete", "expire", "insert", "purge", "reschedule", "retry"]


def insert(shelf: Shelf, rows: Sequence[NewRow], now: int) -> InsertAnswer:
    """Insert jobs in order; what cannot be a job raises before the first of them is in."""
    made: list[tuple[Entry, Conflict]] = [(shelf.make(row, now), row.on_conflict) for row in rows]
    for index, (entry, policy) in enumerate(made):
        if policy == "reject" and entry.id not in shelf.jobs:
            holder = shelf.holder(entry.unique_key, now)
            if holder is not None:
                return InsertAnswer(now, {index: Existing(holder.row(), by_key=True)}, index)
    existing: dict[int, tuple[Entry, bool]] = {}
    for index, (entry, policy) in enumerate(made):
        there = shelf.jobs.get(entry.id)
        holder = shelf.holder(entry.unique_key, now)
        if there is not None:
            existing[index] = there, False
        elif holder is not None:
            _change_holder(shelf, holder, policy, entry, now)
            existing[index] = holder, True
        else:
            shelf.add(entry)
            shelf.take_key(entry)
    return InsertAnswer(now, {index: Existing(there.row(), by_key) for index, (there, by_key) in existing.items()})


def _change_holder(shelf: Shelf, holder: Entry, policy: Conflict, wanted: Entry, now: int) -> None:
    """Give a holder that waits the arguments of the job that it keeps out, and its due time where that is asked for."""
    if policy not in CHANGES or holder.state not in RESCHEDULABLE:
        return
    holder.args = wanted.args
    if policy == "debounce" and holder.due < HELD:
        holder.due = wanted.due
        holder.state = JobState.PENDING if holder.due <= now else JobState.SCHEDULED
    shelf.relist(holder)


def cancel(
    shelf: Shelf, ids: Sequence[bytes], states: frozenset[JobState], *, retention: int | None, now: int
) -> list[Changed]:
    """Cancel what waits, ask what runs to cancel."""

    def change(entry: Entry) -> None:
        if entry.state is JobState.RUNNING:
            entry.state = JobState.CANCELLING
            shelf.relist(entry)
        else:
            kept = own_retention(entry, retention)
            end(shelf, entry, JobState.CANCELLED, reason=Reason.CANCELLED, retention=kept, now=now)

    return _change(shelf, ids, states & CANCELLABLE, change)


def retry(
    shelf: Shelf, ids: Sequence[bytes], states: frozenset[JobState], *, args: bytes | None, now: int
) -> list[Changed]:
    """Make jobs pending and due now, as if they had just been enqueued."""
    return [_retry(shelf, id, states & RETRYABLE, args, now) for id in ids]


def _retry(shelf: Shelf, id: bytes, states: Collection[JobState], args: bytes | None, now: int) -> Changed:
    entry = shelf.jobs.get(id)
    if entry is None:
        return Changed(None, changed=False)
    if entry.state not in states:
        return Changed(entry.row(), changed=False)
    holder = shelf.holder(entry.unique_key, now)
    if holder is not None and holder is not entry:
        return Changed(entry.row(), changed=False, holder=holder.row())
    if entry.state is JobState.COMPLETED:
        entry.remember(OutcomeKind.COMPLETED, entry.finished or now)
    entry.state, entry.due = JobState.PENDING, now
    entry.attempt = entry.crashes = 0
    entry.result = entry.error = entry.error_type = entry.reason = entry.progress = None
    entry.started = entry.finished = entry.expires = None
    if args is not None:
        entry.args = args
    shelf.relist(entry)
    shelf.take_key(entry)
    return Changed(entry.row(), changed=True)


def reschedule(shelf: Shelf, ids: Sequence[bytes], states: frozenset[JobState], *, due: int, now: int) -> list[Changed]:
    """Move due times."""

    def change(entry: Entry) -> None:
        entry.due = due
        entry.state = JobState.PENDING if due <= now else JobState.SCHEDULED
        shelf.relist(entry)

    return _change(shelf, ids, states & RESCHEDULABLE, change)


def delete(shelf: Shelf, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
    """Delete jobs."""
    return _change(shelf, ids, states & DELETABLE, shelf.remove)


def _change(
    shelf: Shelf, ids: Sequence[bytes], states: Collection[JobState], change: Callable[[Entry], None]
) -> list[Changed]:
    answers: list[Changed] = []
    for id in ids:
        entry = shelf.jobs.get(id)
        if entry is None:
            answers.append(Changed(None, changed=False))
            continue
        changes = entry.state in states
        if changes:
            change(entry)
        answers.append(Changed(entry.row(), changed=changes))
    return answers


def expire(shelf: Shelf, limit: int, now: int) -> int:
    """Delete jobs whose retention has passed; return how many."""
    gone = 0
    while gone < limit and (first := shelf.ends.first) and first[0] < now:
        shelf.remove(first[1])
        gone += 1
    return gone


def purge(shelf: Shelf, finished_before: int, states: frozenset[JobState], limit: int) -> int:
    """Delete ended jobs that finished before a time; return how many."""
    wanted = states & FINAL
    gone: list[Entry] = []
    for entry in shelf.oldest_first():
        if len(gone) >= limit:
            break
        if entry.state in wanted and entry.finished is not None and entry.finished < finished_before:
            gone.append(entry)
    for entry in gone:
        shelf.remove(entry)
    return len(gone)
