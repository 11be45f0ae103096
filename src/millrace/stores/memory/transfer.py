"""Giving jobs whole and taking them as they are. Owns the way between an `Entry` and a `WholeJob`; decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from millrace.job import JobRow
from millrace.messages import NewRow
from millrace.store import MAX_ATTEMPT_ROWS, MAX_LOG_ROWS
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.follow import settle, tie
from millrace.stores.memory.reading import read_cursor, write_cursor
from millrace.stores.memory.shelf import Shelf
from millrace.transfer import MAX_WHOLE, Restored, WholeJob

__all__ = ["export", "restore"]


def export(shelf: Shelf, limit: int, cursor: str | None) -> tuple[list[WholeJob], str | None]:
    """Read one page of whole jobs, oldest first, and the cursor of the next.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    above = 0 if cursor is None else read_cursor(cursor)
    limit = max(1, min(limit, MAX_WHOLE))
    found = list(islice(shelf.oldest_first(above), limit + 1))
    following = write_cursor(found[limit - 1]) if len(found) > limit else None
    return [_whole(shelf, entry) for entry in found[:limit]], following


def _whole(shelf: Shelf, entry: Entry) -> WholeJob:
    waits = tuple(sorted(shelf.waits.get(entry.id, ())))
    return WholeJob(entry.row(), entry.error_type, tuple(entry.history or ()), tuple(entry.logs or ()), waits)


def restore(shelf: Shelf, jobs: Sequence[WholeJob], now: int) -> Restored:
    """Put jobs on the shelf as they are; tell which were left out."""
    entries = [_entry(shelf, job) for job in jobs]
    there: set[int] = set()
    held: set[int] = set()
    for index, entry in enumerate(entries):
        if entry.id in shelf.jobs:
            there.add(index)
        elif entry.holds(now) and shelf.holder(entry.unique_key, now) is not None:
            held.add(index)
        else:
            shelf.add(entry)
            if entry.holds(now):
                shelf.take_key(entry)
            tie(shelf, [(entry.id, parent) for parent in jobs[index].waits])
            shelf.note_end(entry)
    settle(shelf, now)
    return Restored(frozenset(there), frozenset(held))


def _entry(shelf: Shelf, job: WholeJob) -> Entry:
    row = job.row
    entry = shelf.make(_new(row), row.created)
    entry.state = row.state
    entry.attempt, entry.claim, entry.crashes, entry.rev = row.attempt, row.claim, row.crashes, row.rev
    entry.worker, entry.lease, entry.started = row.worker, row.lease, row.started
    entry.finished, entry.expires, entry.reason = row.finished, row.expires, row.reason
    entry.progress, entry.result = row.progress, row.result
    entry.error, entry.error_type = row.error, job.error_type
    if job.attempts:
        entry.history = deque(job.attempts, maxlen=MAX_ATTEMPT_ROWS)
    if job.logs:
        entry.logs = deque((replace(line, ref=entry.ref, id=entry.id) for line in job.logs), maxlen=MAX_LOG_ROWS)
    return entry


def _new(row: JobRow) -> NewRow:
    return NewRow(
        row.id, row.task, row.queue, row.args, row.priority, 0, row.due, row.max_attempts, row.max_crashes,
        row.unique_key, row.tags, row.options, group=row.group,
    )  # fmt: skip
