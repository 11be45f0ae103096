"""How the parts of a job become a `JobRow`. Owns the mapping; the forms of the parts stand in `record.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from millrace.job import JobRow, Progress
from millrace.stores.redis.record import FORM, NOBODY, REASONS, STATES, read_body, read_names

__all__ = ["claimed_rows", "job_row", "job_rows", "pack_error", "pack_progress", "read_error", "read_progress"]

_AT = FORM.size  # where the names begin
_NOTHING = (None, None, None)
_MANY = 1000  # pairs of names kept at hand
_form = FORM.unpack_from
_pack = msgspec.msgpack.Encoder().encode
_error = msgspec.msgpack.Decoder(tuple[str, str]).decode
_progress = msgspec.msgpack.Decoder(tuple[float, str | None]).decode
_states, _reasons = dict(enumerate(STATES)), dict(enumerate(REASONS))
_known: dict[bytes, tuple[str, str, None, str | None]] = {}


def pack_error(type: str, text: str) -> bytes:
    """Pack the last error: its class name, and its text."""
    return _pack((type, text))


def read_error(packed: bytes) -> tuple[str, str]:
    """Read it.

    >>> read_error(pack_error("Broken", "Broken: no"))
    ('Broken', 'Broken: no')
    """
    return _error(packed)


def pack_progress(progress: Progress) -> bytes:
    """Pack how far a job says it is."""
    return _pack((progress.fraction, progress.message))


def read_progress(packed: bytes) -> Progress:
    """Read it.

    >>> read_progress(pack_progress(Progress(0.5, "half"))).message
    'half'
    """
    return Progress(*_progress(packed))


def job_row(
    id: bytes,
    record: bytes,
    body: bytes,
    left: Sequence[bytes | None] = _NOTHING,
) -> JobRow:
    """Build the row of one job, by position: about two microseconds. What is `left`: its result, error and progress."""
    result, error, progress = left
    (
        state, reason, claim, rev, attempt, started, lease, finished, expires, worker, max_attempts, crashes,
        max_crashes, priority, due, created,
    ) = _form(record)  # fmt: skip
    names = record[_AT:-1]
    queue, task, key, group = _known.get(names) or _names(names)
    if body[0]:
        args, tags, options = read_body(body)
    else:
        args, tags, options = body[1:-1], (), None
    return JobRow(
        0, id, task, queue, args, _states[state], priority, due, created, attempt, max_attempts, claim, crashes,
        max_crashes, rev, None if worker == NOBODY else int.from_bytes(worker, "big", signed=True), lease or None,
        started or None, finished or None, expires if expires > 0 else None, _reasons[reason], key, tags, options,
        None if progress is None else read_progress(progress), result, None if error is None else _error(error)[1],
        group=group,
    )  # fmt: skip


def job_rows(ids: Iterable[bytes], parts: Sequence[Sequence[Any]]) -> list[JobRow | None]:
    """Build the rows of jobs, None for one that is not there.

    Args:
        ids: In the order of the parts.
        parts: Records, bodies, results, errors and progress, as `read_parts` of the scripts returns them.
    """
    return list(map(_row_if_there, ids, *parts))


def claimed_rows(claimed: Sequence[bytes], bodies: Sequence[bytes], left: Sequence[Any]) -> list[JobRow]:
    """Build the rows of jobs that were just claimed, in order.

    Args:
        claimed: Ids and records by turns.
        bodies: In the same order.
        left: What earlier attempts have left, four by four: the place, the result, the error and the progress.
    """
    ids, records = claimed[::2], claimed[1::2]
    rows = list(map(job_row, ids, records, bodies))
    for at in range(0, len(left), 4):
        place: int = left[at] - 1
        rows[place] = job_row(ids[place], records[place], bodies[place], left[at + 1 : at + 4])
    return rows


def _row_if_there(id: bytes, record: Any, body: Any, *left: Any) -> JobRow | None:
    return None if record is None or body is None else job_row(id, record, body, left)


def _names(names: bytes) -> tuple[str, str, str | None, str | None]:
    queue, task, key, group = read_names(names)
    if key is None:
        if len(_known) >= _MANY:
            _known.clear()
        _known[names] = queue, task, None, group
    return queue, task, key, group
