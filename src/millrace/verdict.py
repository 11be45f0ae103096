"""Which outcome an error deserves. Owns the policy of failures: pure, above every store, below worker and face."""

from __future__ import annotations

from millrace.checks import duration
from millrace.clock import micros
from millrace.job import JobRow
from millrace.options import Terms
from millrace.outcome import ErrorRecord, Outcome, error_record
from millrace.retry import backoff_for
from millrace.signals import CancelJob, RetryAfter, SkipRetry, Snooze
from millrace.states import Reason

__all__ = ["after_bad_result", "after_cancel", "after_error", "after_failure", "after_timeout"]


def after_error(row: JobRow, error: BaseException, terms: Terms) -> Outcome:
    """Judge what a handler raised: a signal does what it says, anything else is a failed try.

    >>> row = JobRow(ref=1, id=bytes(16), task="t", queue="q", args=b"{}", attempt=5, max_attempts=5, claim=5)
    >>> after_error(row, ValueError("no"), Terms()).reason
    <Reason.EXHAUSTED: 'exhausted'>
    """
    match error:
        case Snooze():
            return Outcome.snoozed(row, delay=micros(error.seconds), retention=terms.retention_micros)
        case CancelJob():
            return Outcome.cancelled(row, error_record(error), retention=terms.retention_micros)
        case SkipRetry():
            return _dead(row, error_record(error), Reason.SKIP_RETRY, terms)
        case RetryAfter():
            return after_failure(row, error_record(error), terms, retry_in=error.seconds)
        case _:
            return after_failure(row, error_record(error), terms, error=error)


def after_failure(
    row: JobRow,
    record: ErrorRecord,
    terms: Terms,
    *,
    error: BaseException | None = None,
    retry_in: float | None = None,
    reason: Reason | None = None,
) -> Outcome:
    """Judge a failed try: dead where the policy forbids another or none is left, else failed with its delay.

    Args:
        row: The job as claimed; its `attempt` counts this try.
        record: The error as it will be stored.
        terms: What holds for the job.
        error: The exception, by whose type a mapping of policies is read.
        retry_in: Seconds that replace the policy's delay.
        reason: Why, where it is more than "failed" (`timeout`).

    Raises:
        ConfigurationError: The policy is of the caller's own make, and gives what is no delay.
    """
    backoff = backoff_for(terms.retry, error)
    if retry_in is None and backoff is not None:
        retry_in = duration("the delay of the retry policy", backoff.delay(row.attempt))
    if retry_in is None:
        return _dead(row, record, reason or Reason.SKIP_RETRY, terms)
    if row.attempt >= row.max_attempts:
        return _dead(row, record, reason or Reason.EXHAUSTED, terms)
    return Outcome.failed(row, record, delay=micros(retry_in), reason=reason, retention=terms.retention_micros)


def after_timeout(row: JobRow, seconds: float, terms: Terms) -> Outcome:
    """Judge an attempt that ran past its timeout: a try, with reason `timeout`."""
    error = TimeoutError(f"the attempt ran longer than its timeout of {seconds:g} s")
    return after_failure(row, error_record(error), terms, error=error, reason=Reason.TIMEOUT)


def after_cancel(row: JobRow, terms: Terms) -> Outcome:
    """Judge an attempt that heeded a cancel."""
    return Outcome.cancelled(row, None, retention=terms.retention_micros)


def after_bad_result(row: JobRow, error: BaseException, terms: Terms) -> Outcome:
    """Judge a return value that cannot be stored: dead at once, because a retry would repeat the effects."""
    return _dead(row, error_record(error), Reason.BAD_RESULT, terms)


def _dead(row: JobRow, record: ErrorRecord, reason: Reason, terms: Terms) -> Outcome:
    return Outcome.dead(row, record, reason=reason, retention=terms.dead_retention_micros)
