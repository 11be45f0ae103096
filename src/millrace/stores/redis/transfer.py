"""Giving jobs whole and taking them as they are. Owns the way between a `WholeJob` and the parts that the scripts keep.

A page follows the ids of the jobs, which is also the order in which they are listed: a walk begins where the last page
ended, whatever has come or gone meanwhile. A script gives and takes no more than what holds up nobody else; what is
taken is all or nothing by such pieces, and a restore that broke off finds what it had done when it is run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from millrace.job import JobRow
from millrace.states import FINAL
from millrace.stores.redis.attempts import pack_attempt, pack_line, unpack_attempt, unpack_line
from millrace.stores.redis.listing import read_cursor
from millrace.stores.redis.looks import Look, look_once
from millrace.stores.redis.record import (
    FOR_EVER,
    FORM,
    NUMBERS,
    REASON_NUMBERS,
    scope_name,
    worker_bytes,
    write_body,
    write_names,
)
from millrace.stores.redis.rows import job_rows, pack_error, pack_progress, read_error
from millrace.stores.redis.scripts import script
from millrace.transfer import MAX_WHOLE, Restored, WholeJob

__all__ = ["export", "restore"]

EXPORT: Final = script("export")
RESTORE: Final = script("restore")

_CURSOR = "redis-from-"
_MOST_ROWS = 2000  #: attempts and log lines in one script of a restore
_MOST_JOBS = 200  #: likewise
_MOST_BYTES = 4 << 20
_THERE, _HELD = 1, 2  # what the script tells of a job that did not go in
_ERRORS = 3  # the place of the errors among the parts of jobs

_pack = msgspec.msgpack.encode


def export(look: Look, limit: int, cursor: str | None) -> tuple[list[WholeJob], str | None]:
    """Read one page of whole jobs, by id, and the cursor of the next.

    Raises:
        ConfigurationError: The cursor is not one of ours.
    """
    above = b"" if cursor is None else read_cursor(cursor, _CURSOR)
    limit = max(1, min(limit, MAX_WHOLE))
    jobs: list[WholeJob] = []
    more = True
    while more and len(jobs) < limit:
        more, ids, *parts = look_once(look, EXPORT, above, limit - len(jobs))
        jobs += _whole_jobs(ids, parts)
        above = ids[-1] if ids else above
    return jobs, f"{_CURSOR}{above.hex()}" if more else None


def _whole_jobs(ids: Sequence[bytes], told: Sequence[Sequence[Any]]) -> Iterator[WholeJob]:
    *parts, attempts, lines = told
    for row, error, rows, logs in zip(job_rows(ids, parts), parts[_ERRORS], attempts, lines, strict=True):
        if row is not None:
            yield WholeJob(
                row,
                None if error is None else read_error(error)[0],
                tuple(map(unpack_attempt, rows)),
                tuple(unpack_line(row.id, line) for line in logs),
            )


def restore(look: Look, jobs: Sequence[WholeJob]) -> Restored:
    """Insert whole jobs, and tell which were left out."""
    there: set[int] = set()
    held: set[int] = set()
    for first, some in _pieces(jobs):
        told = _pack([(job.row.tags, len(job.attempts), len(job.logs)) for job, _ in some])
        parts = (part for _, parts in some for part in parts)
        for place, what in enumerate(look_once(look, RESTORE, told, *parts), first):
            if what == _THERE:
                there.add(place)
            elif what == _HELD:
                held.add(place)
    return Restored(frozenset(there), frozenset(held))


def _pieces(jobs: Sequence[WholeJob]) -> Iterator[tuple[int, list[tuple[WholeJob, list[bytes]]]]]:
    """Cut jobs into what a script takes, each piece with the place of its first; one job at least is in each."""
    packed = [(job, _parts(job)) for job in jobs]  # before the first goes in: one that cannot be packed stops them all
    piece: list[tuple[WholeJob, list[bytes]]] = []
    first = rows = size = 0
    for place, (job, parts) in enumerate(packed):
        own_rows, own_size = len(job.attempts) + len(job.logs), sum(map(len, parts))
        if piece and (rows + own_rows > _MOST_ROWS or size + own_size > _MOST_BYTES or len(piece) == _MOST_JOBS):
            yield first, piece
            piece = []
            first, rows, size = place, 0, 0
        piece.append((job, parts))
        rows += own_rows
        size += own_size
    if piece:
        yield first, piece


def _parts(job: WholeJob) -> list[bytes]:
    """Pack what belongs to a job; of what there is none, nothing."""
    row = job.row
    return [
        row.id,
        _record(row),
        write_body(row.id, row.args, row.tags, row.options),
        row.result or b"",
        b"" if row.error is None else pack_error(job.error_type or "", row.error),
        b"" if row.progress is None else pack_progress(row.progress),
        *map(pack_attempt, job.attempts),
        *map(pack_line, job.logs),
    ]


def _record(row: JobRow) -> bytes:
    expires = row.expires or (FOR_EVER if row.state in FINAL else 0)
    fixed = FORM.pack(
        NUMBERS[row.state], REASON_NUMBERS[row.reason], row.claim, row.rev, row.attempt, row.started or 0,
        row.lease or 0, row.finished or 0, expires, worker_bytes(row.worker), row.max_attempts, row.crashes,
        row.max_crashes, row.priority, row.due or 0, row.created,
    )  # fmt: skip
    names = write_names(row.queue, row.task, row.unique_key, scope_name(row.options), row.group)
    return b"".join((fixed, names, row.id[15:]))
