"""The worker's log lines. Owns their words and fields: each line about a job carries job_id, task, queue and attempt.

Successes are told at DEBUG, so that a drain of thousands writes nothing; what fails, from WARNING on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from millrace.codec import encode_result
from millrace.errors import PayloadError
from millrace.job import JobRow
from millrace.outcome import Outcome, printable, shorten
from millrace.records import LogRow
from millrace.states import OutcomeKind

if TYPE_CHECKING:
    from millrace.worker.attempt import Attempt

__all__ = ["LOGGER", "fields", "log_line", "tell_end", "told"]

LOGGER = logging.getLogger("millrace.worker")

MAX_LINE_BYTES = 8 * 1024

_LEVELS = {
    OutcomeKind.COMPLETED: logging.DEBUG,
    OutcomeKind.FAILED: logging.WARNING,
    OutcomeKind.DEAD: logging.ERROR,
    OutcomeKind.CANCELLED: logging.INFO,
    OutcomeKind.SNOOZED: logging.INFO,
    OutcomeKind.RELEASED: logging.INFO,
}


def fields(row: JobRow) -> dict[str, Any]:
    """Return what every line about a job carries."""
    return {"job_id": str(UUID(bytes=row.id)), "task": row.task, "queue": row.queue, "attempt": row.attempt}


def _named(row: JobRow) -> str:
    return f"{row.task} {UUID(bytes=row.id)} (queue {row.queue}, try {row.attempt} of {row.max_attempts})"


def tell_end(row: JobRow, outcome: Outcome) -> None:
    """Tell how an attempt has ended; beside the words stand what they are made of, for whoever lays out lines anew."""
    level = _LEVELS.get(outcome.kind, logging.INFO)
    if not LOGGER.isEnabledFor(level):
        return
    again = (outcome.delay or 0) / 1e6
    match outcome.kind:
        case OutcomeKind.FAILED:
            event, detail = "failed", f"{_error(outcome)}; again in {again:.1f} s"
        case OutcomeKind.DEAD:
            event, detail = f"is dead ({outcome.reason})", _error(outcome)
        case OutcomeKind.SNOOZED:
            event, detail = "snoozed", f"for {again:.1f} s"
        case _:
            event, detail = outcome.kind.value, ""
    more = {**fields(row), "event": outcome.kind.value, "detail": detail, "started": row.started}
    LOGGER.log(level, "%s %s%s", _named(row), event, f": {detail}" if detail else "", extra=more)


def told(attempt: Attempt, why: str) -> None:
    """Tell that an attempt was told to stop."""
    LOGGER.warning("%s is told to stop: %s", _named(attempt.row), why, extra=fields(attempt.row))


def _error(outcome: Outcome) -> str:
    return shorten(outcome.error.text, 400) if outcome.error is not None else ""


def log_line(row: JobRow, at: int, level: int, message: str, data: Mapping[str, Any]) -> LogRow:
    """Make the row of one log line, whatever was given: cut to 8 KiB, what has no form in JSON written out.

    >>> row = JobRow(ref=1, id=bytes(16), task="t", queue="q", args=b"{}", claim=1, attempt=1)
    >>> log_line(row, 0, 20, "hello", {"n": 1}).data
    b'{"n":1}'
    """
    text = shorten(printable(str(message)), MAX_LINE_BYTES)
    return LogRow(row.ref, row.id, row.claim, at, level, text, _data(data) if data else None, row.attempt)


def _data(data: Mapping[str, Any]) -> bytes:
    written: bytes | None
    try:
        written = encode_result(dict(data))
    except PayloadError:
        written = msgspec.json.encode({printable(name): printable(repr(value)) for name, value in data.items()})
    if written is None or len(written) > MAX_LINE_BYTES:
        return msgspec.json.encode({"cut": shorten((written or b"").decode(), MAX_LINE_BYTES // 2)})
    return written
