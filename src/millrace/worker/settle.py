"""How an attempt that has come to its end is settled: which outcome it has, or none. Owns the order of those questions.

What an error deserves is `verdict.py`'s; here stands what being told to stop changes about it.

| told | the handler returned | it raised |
|---|---|---|
| nothing | completed | as the verdict says; an unasked `CancelledError` is an error like any other |
| cancel | completed: its effects are there | cancelled where it heeded, else as the verdict says |
| timeout | timed out | timed out |
| stop | completed | released |
| lease lost | no outcome | no outcome |
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

import msgspec

from millrace.codec import encode_result
from millrace.errors import PayloadError
from millrace.outcome import Outcome, error_record
from millrace.retry import DEFAULT_BACKOFF
from millrace.signals import CancelJob
from millrace.states import OutcomeKind
from millrace.verdict import after_bad_result, after_cancel, after_error, after_failure, after_timeout
from millrace.worker.afterwards import tell_after, tell_loss
from millrace.worker.attempt import Told
from millrace.worker.telling import tell_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from millrace.job import JobRow
    from millrace.worker.attempt import Attempt
    from millrace.worker.plan import Plan

__all__ = ["HEEDING", "abandoned", "error_outcome", "raised", "reported", "returned", "value_outcome"]

#: What a handler raises when it heeds a cancel: its own check, a cancelled await, a child's SIGTERM.
HEEDING = (CancelJob, CancelledError, SystemExit, KeyboardInterrupt)


def returned(attempt: Attempt, value: Any) -> Outcome | None:
    """Settle an attempt whose handler has returned."""
    told = attempt.told
    if told is Told.LOST:
        return _lost(attempt)
    if told is Told.TIMEOUT:
        return _timed_out(attempt)
    if attempt.side is not None and attempt.side.completed:
        return _uncommitted(attempt)
    return _ended(attempt, value_outcome(attempt.row, attempt.plan, value))


def raised(attempt: Attempt, error: BaseException) -> Outcome | None:
    """Settle an attempt whose handler has raised, whatever it was."""
    row, plan = attempt.row, attempt.plan
    if attempt.side is not None and attempt.side.completed:
        attempt.side.raised = error
    match attempt.told:
        case Told.LOST:
            return _lost(attempt)
        case Told.TIMEOUT:
            return _timed_out(attempt)
        case Told.STOP if isinstance(error, HEEDING):
            return _ended(attempt, Outcome.released(row, retention=plan.retention))
        case Told.CANCEL if isinstance(error, HEEDING):
            return _ended(attempt, after_cancel(row, plan.terms))
        case _:
            pass
    return _ended(attempt, error_outcome(row, plan, error))


def reported(attempt: Attempt, outcome: Outcome) -> Outcome | None:
    """Settle an attempt whose child process has told how it ended there."""
    told = attempt.told
    if told is Told.LOST:
        return _lost(attempt)
    if told is Told.TIMEOUT:
        return _timed_out(attempt)
    if attempt.side is not None and attempt.side.completed and outcome.kind is OutcomeKind.COMPLETED:
        return _uncommitted(attempt)
    return _ended(attempt, outcome)


def value_outcome(row: JobRow, plan: Plan, value: Any) -> Outcome:
    """Return what a returned value makes of an attempt that nobody stopped."""
    try:
        result = encode_result(value)
    except PayloadError as error:
        return after_bad_result(row, error, plan.terms)
    return Outcome.completed(row, result, retention=plan.retention)


def error_outcome(row: JobRow, plan: Plan, error: BaseException) -> Outcome:
    """Return what an error makes of an attempt that nobody stopped."""
    return _judged(row, plan, lambda: after_error(row, error, plan.terms))


def _judged(row: JobRow, plan: Plan, judge: Callable[[], Outcome]) -> Outcome:
    """Judge a failure by its task's policy; where the policy itself fails, that is the error, and the default holds."""
    try:
        return judge()
    except BaseException as broken:  # noqa: BLE001 - a policy is the user's code, and a signal's fields hold anything
        terms = msgspec.structs.replace(plan.terms, retry=DEFAULT_BACKOFF)
        return after_failure(row, error_record(broken), terms)


def abandoned(attempt: Attempt) -> Outcome | None:
    """Settle an attempt that was told to stop and has not answered within the grace."""
    row, plan = attempt.row, attempt.plan
    match attempt.told:
        case Told.LOST:
            return _lost(attempt)
        case Told.TIMEOUT:
            return _timed_out(attempt)
        case Told.CANCEL:
            return _ended(attempt, after_cancel(row, plan.terms))
        case _:
            return _ended(attempt, Outcome.released(row, retention=plan.retention))


def _timed_out(attempt: Attempt) -> Outcome:
    row, plan = attempt.row, attempt.plan
    return _ended(attempt, _judged(row, plan, lambda: after_timeout(row, plan.timeout or 0.0, plan.terms)))


def _lost(attempt: Attempt) -> Outcome | None:
    attempt.floor.lost([attempt.row])
    tell_loss(attempt)
    return None


def _uncommitted(attempt: Attempt) -> Outcome:
    """Settle an attempt that has completed in its own transaction.

    The fence refuses this outcome where that transaction was committed; where it was not, the job must not hang.
    """
    attempt.aside.returned = True
    text = (
        "complete(connection=…) was called, but its transaction was not committed; commit it before returning, and on"
        " an asynchronous connection await complete"
    )
    row, plan, error = attempt.row, attempt.plan, error_record(f"Uncommitted: {text}")
    return _ended(attempt, _judged(row, plan, lambda: after_failure(row, error, plan.terms)))


def _ended(attempt: Attempt, outcome: Outcome) -> Outcome:
    """Write what must stand before the outcome, and tell of it; where it may not be true, `ownends` tells what is."""
    completed = outcome.kind is OutcomeKind.COMPLETED
    beat = None if completed else attempt.take_progress()  # of a success it goes with the notes before the outcome
    if beat is not None:
        attempt.floor.notes.add_beat(attempt, beat, wait=False)
    if (attempt.floor.talks or not completed) and not attempt.completes_itself:
        tell_end(attempt.row, outcome)
        tell_after(attempt, outcome)
    return outcome
