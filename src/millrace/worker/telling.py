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
from millrace.states import OutcomeKind, Reason

if TYPE_CHECKING:
    from millrace.worker.attempt import Attempt

__all__ = ["LOGGER", "MAX_LINE_BYTES", "fields", "log_line", "tell_end", "tell_own_end", "told"]

LOGGER = logging.getLogger("millrace.worker")

MAX_LINE_BYTES = 8 * 1024  #: of a log line's message and values together
_CUT_BYTES = len(b'{"cut":""}')  #: and what stands in it may be twice as long once it is a text of JSON

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


def tell_own_end(attempt: Attempt, outcome: Outcome) -> None:
    """Tell that an attempt was completed by its own transaction, whatever has become of its handler since.

    What the handler raised afterwards stands nowhere else, so it is told with its traceback.
    """
    row, side = attempt.row, attempt.aside
    if side.returned:
        tell_end(row, Outcome.completed(row, None, retention=None))
        return
    raised = outcome.error is not None and outcome.reason is not Reason.TIMEOUT
    what = "that its handler raised" if raised else "what came"
    detail = f"in its own transaction; {what} afterwards changes nothing: {_error(outcome) or outcome.kind.value}"
    more = {**fields(row), "event": OutcomeKind.COMPLETED.value, "detail": detail, "started": row.started}
    LOGGER.warning("%s completed %s", _named(row), detail, extra=more, exc_info=side.raised if raised else None)


def told(attempt: Attempt, why: str) -> None:
    """Tell that an attempt was told to stop."""
    LOGGER.warning("%s is told to stop: %s", _named(attempt.row), why, extra=fields(attempt.row))


def _error(outcome: Outcome) -> str:
    return shorten(outcome.error.text, 400) if outcome.error is not None else ""


def log_line(row: JobRow, at: int, level: int, message: str, data: Mapping[str, Any]) -> LogRow:
    """Make the row of one log line, whatever was given: cut to 8 KiB in all, what has no form in JSON written out.

    Where both are long, the message and the values have half of it each.

    >>> row = JobRow(ref=1, id=bytes(16), task="t", queue="q", args=b"{}", claim=1, attempt=1)
    >>> log_line(row, 0, 20, "hello", {"n": 1}).data
    b'{"n":1}'
    """
    values = _data(data) if data else b""
    text = shorten(printable(str(message)), max(MAX_LINE_BYTES - len(values), MAX_LINE_BYTES // 2))
    room = MAX_LINE_BYTES - len(text.encode())
    if len(values) > room:
        values = msgspec.json.encode({"cut": shorten(values.decode(), (room - _CUT_BYTES) // 2)})
    return LogRow(row.ref, row.id, row.claim, at, level, text, values or None, row.attempt)


def _data(data: Mapping[str, Any]) -> bytes:
    written: bytes | None
    try:
        written = encode_result(dict(data))
    except PayloadError:
        written = msgspec.json.encode({printable(name): printable(repr(value)) for name, value in data.items()})
    return written or b""
