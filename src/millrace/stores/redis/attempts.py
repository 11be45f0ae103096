"""What a job leaves behind beside its record: ended attempts and log lines. Owns their form, and reads them.

Each is a list of rows in msgpack: what a finish, a rescue or a log line adds is pushed to its end by that script. The
success that a completed job's record tells has no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from millrace.records import AttemptRow, LogRow
from millrace.states import JobState, OutcomeKind
from millrace.store import MAX_ATTEMPT_ROWS
from millrace.stores.redis.record import FORM, STATES, worker_bytes, worker_number
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["pack_attempt", "pack_line", "read_attempts", "read_logs", "unpack_attempt", "unpack_line"]

HISTORY: Final = script("history")

_pack = msgspec.msgpack.encode
# attempt, claim, worker, started, finished, kind, error, traceback; False stands for None
_attempt = msgspec.msgpack.Decoder(tuple[int, int, bytes | bool, int | bool, int, str, str | bool, str | bool]).decode
# claim, attempt, at, level, message, data
_line = msgspec.msgpack.Decoder(tuple[int, int, int, int, str, str | bool]).decode


def read_attempts(session: Session, id: bytes) -> list[AttemptRow]:
    """Read a job's ended attempts, oldest first, the success that its record tells included."""
    record, rows = session.run(HISTORY, id)
    if record is None:
        return []
    ended = [unpack_attempt(row) for row in rows]
    success = _success(record)
    return [*ended, *success][-MAX_ATTEMPT_ROWS:]


def _success(record: bytes) -> Sequence[AttemptRow]:
    state, _, claim, _, attempt, started, _, finished, _, worker, *_ = FORM.unpack_from(record)
    if STATES[state] is not JobState.COMPLETED:
        return ()
    return (AttemptRow(attempt, claim, worker_number(worker), started or None, finished, OutcomeKind.COMPLETED),)


def read_logs(session: Session, id: bytes) -> list[LogRow]:
    """Read a job's log lines, oldest first."""
    rows: Sequence[Any] = session.command("LRANGE", session.keys.key(b"log:" + id), 0, -1)
    return [unpack_line(id, row) for row in rows]


def pack_attempt(row: AttemptRow) -> bytes:
    """Pack the row of an attempt as the scripts do.

    >>> row = AttemptRow(1, 1, 258, None, 5, OutcomeKind.FAILED, "Broken")
    >>> unpack_attempt(pack_attempt(row)) == row
    True
    """
    worker = False if row.worker is None else worker_bytes(row.worker)
    started = False if row.started is None else row.started
    error, traceback = (False if text is None else text for text in (row.error, row.traceback))
    return _pack([row.attempt, row.claim, worker, started, row.finished, row.outcome.value, error, traceback])


def unpack_attempt(packed: bytes) -> AttemptRow:
    """Read one."""
    attempt, claim, worker, started, finished, kind, error, traceback = _attempt(packed)
    return AttemptRow(
        attempt,
        claim,
        worker_number(worker) if isinstance(worker, bytes) else None,
        None if started is False else started,
        finished,
        OutcomeKind(kind),
        error if isinstance(error, str) else None,
        traceback if isinstance(traceback, str) else None,
    )


def pack_line(line: LogRow) -> bytes:
    """Pack a log line as the scripts do.

    >>> line = LogRow(0, bytes(16), 1, 5, 20, "hello", b"{}", 1)
    >>> unpack_line(bytes(16), pack_line(line)) == line
    True
    """
    data = False if line.data is None else line.data.decode()
    return _pack([line.claim, line.attempt, line.at, line.level, line.message, data])


def unpack_line(id: bytes, packed: bytes) -> LogRow:
    """Read one of a job."""
    claim, attempt, at, level, message, data = _line(packed)
    return LogRow(0, id, claim, at, level, message, data.encode() if isinstance(data, str) else None, attempt)
