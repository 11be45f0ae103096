"""How one attempt ended, as a value that only its constructors make. Owns legal combinations; decides nothing.

A store receives outcomes in batches (`Store.step`) and writes each where id, claim and worker still match. Times are
microseconds; `delay` counts from the store's own clock. Which outcome an error deserves is `verdict.py`'s business.
"""

from __future__ import annotations

import os
import re
import traceback
from typing import TYPE_CHECKING

import msgspec

from millrace.states import JobState, OutcomeKind, Reason

if TYPE_CHECKING:
    from millrace.job import JobRow

__all__ = ["MAX_ERROR_BYTES", "ErrorRecord", "Outcome", "error_record", "lost_lease", "printable", "shorten"]

MAX_ERROR_BYTES = 16 * 1024

_OURS = os.path.join(os.path.dirname(__file__), "worker", "")  # noqa: PTH118, PTH120 - compared with code's file names
# "Class: message" or "package.Class: message", and nothing that merely has a colon in it: a URL, a drive, a label. The
# last part of the name begins like a class, as the names of errors do.
_TYPED = re.compile(r"((?:[A-Za-z_]\w*\.)*_*[A-Z]\w*): (?=\S)(.*)\Z", re.DOTALL)
_CUT = "\n[... {} characters left out ...]\n"


class ErrorRecord(msgspec.Struct, frozen=True, gc=False):
    """An error as it is stored: its class name ("" where none was given), its message and its traceback.

    >>> ErrorRecord("ValueError", "no").text
    'ValueError: no'
    """

    type: str
    message: str
    traceback: str | None = None

    @property
    def text(self) -> str:
        """The one-line form, "Class: message"."""
        if not self.type:
            return self.message
        return f"{self.type}: {self.message}" if self.message else self.type


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The end of one attempt. Made by the class methods below, never by hand.

    Attributes:
        ref, id, claim: Which attempt: the store's handle, the job's id, the fence.
        kind: How the attempt ended.
        state: The state the job goes to. A cancel that came in between wins over `failed`, `scheduled` and
            `pending`: the job is then cancelled.
        delay: Microseconds from now until the job is due again (`failed`, `scheduled`), else None.
        keeps_try: False where the attempt gives its try back (snooze, release).
        recorded: False where the attempt never began and so leaves no row in the job's history.
        retention: Microseconds to keep the ended job, 0 to delete it at once, None for ever.
        cancelled_retention: The same, used where a cancel wins.
        reason, result, error: As the job will show them.

    >>> from millrace.job import JobRow
    >>> row = JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}", claim=1)
    >>> Outcome.completed(row, b"5", retention=None).state
    <JobState.COMPLETED: 'completed'>
    """

    ref: int
    id: bytes
    claim: int
    kind: OutcomeKind
    state: JobState
    retention: int | None = None
    result: bytes | None = None
    delay: int | None = None
    keeps_try: bool = True
    recorded: bool = True
    cancelled_retention: int | None = None
    reason: Reason | None = None
    error: ErrorRecord | None = None

    @classmethod
    def completed(cls, row: JobRow, result: bytes | None, *, retention: int | None) -> Outcome:
        """The handler returned; `result` is its value as JSON, or None."""
        return cls(row.ref, row.id, row.claim, OutcomeKind.COMPLETED, JobState.COMPLETED, retention, result)

    @classmethod
    def failed(
        cls, row: JobRow, error: ErrorRecord, *, delay: int, reason: Reason | None = None, retention: int | None
    ) -> Outcome:
        """The attempt failed and a retry waits `delay` microseconds; `retention` is for a cancel that wins."""
        return cls(
            row.ref, row.id, row.claim, OutcomeKind.FAILED, JobState.FAILED,
            delay=delay, reason=reason, error=error, cancelled_retention=retention,
        )  # fmt: skip

    @classmethod
    def dead(cls, row: JobRow, error: ErrorRecord, *, reason: Reason, retention: int | None) -> Outcome:
        """The job gives up: a dead letter."""
        return cls(
            row.ref, row.id, row.claim, OutcomeKind.DEAD, JobState.DEAD, retention, reason=reason, error=error,
        )  # fmt: skip

    @classmethod
    def cancelled(cls, row: JobRow, error: ErrorRecord | None, *, retention: int | None) -> Outcome:
        """The job was stopped on purpose: by its handler, or because the handler heeded a cancel."""
        return cls(
            row.ref, row.id, row.claim, OutcomeKind.CANCELLED, JobState.CANCELLED, retention,
            reason=Reason.CANCELLED, error=error,
        )  # fmt: skip

    @classmethod
    def snoozed(cls, row: JobRow, *, delay: int, retention: int | None) -> Outcome:
        """The handler put the job back for `delay` microseconds; the try is given back."""
        return cls(
            row.ref, row.id, row.claim, OutcomeKind.SNOOZED, JobState.SCHEDULED,
            delay=delay, keeps_try=False, cancelled_retention=retention,
        )  # fmt: skip

    @classmethod
    def released(cls, row: JobRow, *, retention: int | None) -> Outcome:
        """The worker stops and gives a job back that had begun; the try is given back, the job is due at once."""
        return cls(
            row.ref, row.id, row.claim, OutcomeKind.RELEASED, JobState.PENDING,
            keeps_try=False, cancelled_retention=retention,
        )  # fmt: skip

    @classmethod
    def returned(cls, row: JobRow, *, retention: int | None) -> Outcome:
        """The worker gives back a job that never began: as `released`, and the history does not show it."""
        return cls(
            row.ref, row.id, row.claim, OutcomeKind.RELEASED, JobState.PENDING,
            keeps_try=False, recorded=False, cancelled_retention=retention,
        )  # fmt: skip


def printable(text: str) -> str:
    r"""Escape lone surrogates, which no store can hold, as backslash sequences.

    >>> printable("a" + chr(0xD800))
    'a\\ud800'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def shorten(text: str, limit: int) -> str:
    """Keep the head and the tail of a text that is longer than `limit` bytes of UTF-8.

    >>> len(shorten("x" * 100, 60)) <= 60
    True
    """
    if len(text) * 4 <= limit or len(text.encode()) <= limit:
        return text
    note = _CUT.format(len(text))
    half = max((limit - len(note)) // 2, 0)
    data = text.encode()
    head, tail = data[:half].decode(errors="ignore"), data[len(data) - half :].decode(errors="ignore")
    return head + _CUT.format(len(text) - len(head) - len(tail)) + tail


def lost_lease(crashes: object, most: object) -> ErrorRecord:
    """Describe the end of an attempt whose worker was lost and could not tell of it: what a rescue stores.

    Args:
        crashes: How many leases the job has lost with this one, or what stands for it in a store's own language.
        most: With how many it is dead.

    >>> lost_lease(3, 3).text
    'LeaseLost: its worker was lost while it ran, as 3 of at most 3 times (max_crashes)'
    """
    message = f"its worker was lost while it ran, as {crashes} of at most {most} times (max_crashes)"
    return ErrorRecord("LeaseLost", message)


def error_record(error: BaseException | str) -> ErrorRecord:
    """Describe an exception, or a text given in its place, within 16 KiB; never raises, whatever the error does.

    >>> error_record(ValueError("no")).text, error_record("Boom: it broke").type
    ('ValueError: no', 'Boom')
    """
    if isinstance(error, str):
        message = shorten(printable(error), MAX_ERROR_BYTES)
        typed = _TYPED.match(message)
        return ErrorRecord(typed[1], typed[2]) if typed else ErrorRecord("", message)
    kind = type(error).__name__
    try:
        message = str(error)
    except BaseException as broken:  # noqa: BLE001 - the error's own __str__ may do anything
        message = f"<its text cannot be read: {type(broken).__name__}>"
    message = shorten(printable(message), MAX_ERROR_BYTES // 4)
    return ErrorRecord(kind, message, _traceback(error))


def _traceback(error: BaseException) -> str | None:
    """Format the traceback without the frames at its top in which a worker calls the handler."""
    if error.__traceback__ is None:
        return None
    try:
        report = traceback.TracebackException.from_exception(error, limit=-60, compact=True)
        first = next((i for i, frame in enumerate(report.stack) if not frame.filename.startswith(_OURS)), 0)
        report.stack = traceback.StackSummary.from_list(report.stack[first:])
        text = "".join(report.format())
    except BaseException as broken:  # noqa: BLE001 - formatting runs the error's own code
        return f"<no traceback: {type(broken).__name__}>"
    return shorten(printable(text), MAX_ERROR_BYTES * 3 // 4)
