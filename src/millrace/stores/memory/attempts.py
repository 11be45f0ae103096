"""What becomes of attempts: outcomes, signs of life, log lines, lost leases. Owns those verbs and the end of a job.

Every write about an attempt goes through `Shelf.held`, the fence.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from millrace.clock import micros
from millrace.messages import Beat, Rescued
from millrace.options import read_options
from millrace.outcome import Outcome, lost_lease
from millrace.records import LogRow
from millrace.states import FINAL, JobState, OutcomeKind, Reason
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.shelf import Shelf

__all__ = ["add_logs", "end", "extend", "finish", "own_retention", "rescue"]

_GIVES_WAY_TO_CANCEL = frozenset({JobState.FAILED, JobState.SCHEDULED, JobState.PENDING})


def finish(shelf: Shelf, worker: int, outcome: Outcome, now: int) -> JobState | None:
    """Write one outcome; return the state that the job came to, None where the claim is lost."""
    entry = shelf.held(worker, outcome.id, outcome.claim)
    if entry is None:
        return None
    cancel_wins = entry.state is JobState.CANCELLING and outcome.state in _GIVES_WAY_TO_CANCEL
    error = outcome.error
    if outcome.kind is OutcomeKind.COMPLETED:
        entry.error = entry.error_type = None
        entry.result = entry.result if outcome.result is None else outcome.result
    elif outcome.recorded:
        entry.remember(outcome.kind, now, error)
    if error is not None:
        entry.error, entry.error_type = error.text, error.type
    if not outcome.keeps_try:
        entry.attempt -= 1
    if outcome.delay is not None:
        entry.due = now + outcome.delay
    if cancel_wins:
        end(
            shelf,
            entry,
            JobState.CANCELLED,
            reason=Reason.CANCELLED,
            retention=outcome.cancelled_retention,
            now=now,
        )
    elif outcome.state in FINAL:
        end(shelf, entry, outcome.state, reason=outcome.reason, retention=outcome.retention, now=now)
    else:
        entry.state, entry.reason, entry.lease = outcome.state, outcome.reason, None
        shelf.relist(entry)
    return entry.state


def end(shelf: Shelf, entry: Entry, state: JobState, *, reason: Reason | None, retention: int | None, now: int) -> None:
    """Bring a job to a final state, to be kept for `retention` microseconds; with 0 it goes at once."""
    entry.state, entry.reason, entry.lease, entry.finished = state, reason, None, now
    entry.expires = None if retention is None else now + retention
    shelf.relist(entry)
    if retention == 0:
        shelf.remove(entry)


def own_retention(entry: Entry, retention: int | None) -> int | None:
    """Return how long a job is kept that ends otherwise than by an outcome: its own word, else what is given."""
    if entry.options is None:
        return retention
    own = read_options(entry.options).retention
    if own is UNSET:
        return at_least_held(entry, retention)
    return None if own is None else at_least_held(entry, micros(own))


def at_least_held(entry: Entry, retention: int | None) -> int | None:
    """Return a retention of at least the time for which the job holds its key beyond its end."""
    return retention if retention is None or entry.scope is None else max(retention, entry.scope)


def extend(shelf: Shelf, worker: int, beat: Beat, now: int) -> JobState | None:
    """Write one beat; return the job's state, None where the claim is lost."""
    entry = shelf.held(worker, beat.id, beat.claim)
    if entry is None:
        return None
    if beat.progress is not None:
        entry.progress = beat.progress
    if beat.result is not None:
        entry.result = beat.result
    if beat.lease is not None:
        entry.lease = now + beat.lease
        shelf.relist(entry)
    return entry.state


def add_logs(shelf: Shelf, worker: int, lines: Sequence[LogRow]) -> list[bool]:
    """Keep the log lines of claims that still hold; tell for each line whether it was kept."""
    kept: list[bool] = []
    for line in lines:
        entry = shelf.held(worker, line.id, line.claim)
        if entry is not None:
            entry.note(line)
        kept.append(entry is not None)
    return kept


def rescue(shelf: Shelf, *, retention: int | None, dead_retention: int | None, limit: int, now: int) -> list[Rescued]:
    """Take back leases that have passed, those that passed first before others."""
    rescued: list[Rescued] = []
    while len(rescued) < limit and (first := shelf.leases.first) and first[0] < now:
        entry = first[1]
        entry.crashes += 1
        error = lost_lease(entry.crashes, entry.max_crashes)
        entry.error, entry.error_type = error.text, error.type
        entry.remember(OutcomeKind.LEASE_LOST, now, error)
        entry.attempt = max(entry.attempt - 1, 0)
        if entry.state is JobState.CANCELLING:
            kept = own_retention(entry, retention)
            end(shelf, entry, JobState.CANCELLED, reason=Reason.CANCELLED, retention=kept, now=now)
        elif entry.crashes >= entry.max_crashes:
            kept = at_least_held(entry, dead_retention)
            end(shelf, entry, JobState.DEAD, reason=Reason.CRASHED, retention=kept, now=now)
        else:
            entry.state, entry.reason, entry.lease = JobState.PENDING, Reason.LEASE_LOST, None
            shelf.relist(entry)
        rescued.append(
            Rescued(entry.id, entry.task, entry.queue, entry.claim, entry.worker, entry.state, entry.crashes)
        )
    return rescued
