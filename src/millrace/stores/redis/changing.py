"""Changing jobs from outside their handlers: cancel, retry, reschedule, delete. Owns those four, by ids.

A script changes up to 200 jobs as one whole and tells each as it then is; more are cut into several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from millrace.errors import ConfigurationError
from millrace.job import JobRow
from millrace.messages import Changed
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE, JobState
from millrace.stores.redis.looks import Look, look_once
from millrace.stores.redis.record import NUMBERS
from millrace.stores.redis.rows import job_rows
from millrace.stores.redis.scripts import Script, script
from millrace.stores.redis.session import Argument

__all__ = ["AT_ONCE", "cancel", "delete", "digits", "reschedule", "retry"]

CANCEL: Final = script("cancel")
RETRY: Final = script("retry")
RESCHEDULE: Final = script("reschedule")
DELETE: Final = script("delete")

AT_ONCE: Final = 200  #: jobs that a script changes, in some milliseconds at most
_FOR_EVER = -1
_LATEST = 1 << 53  # microseconds
_PARTS = 5  # of a row


def cancel(look: Look, ids: Sequence[bytes], states: frozenset[JobState], retention: int | None) -> list[Changed]:
    """Cancel what waits, ask what runs to cancel."""
    kept = _FOR_EVER if retention is None else retention
    return _change(look, CANCEL, (kept, digits(states & CANCELLABLE)), ids)


def retry(look: Look, ids: Sequence[bytes], states: frozenset[JobState], args: bytes | None) -> list[Changed]:
    """Make jobs pending and due now, as if they had just been enqueued."""
    given = (0, b"") if args is None else (1, args)
    return _change(look, RETRY, (digits(states & RETRYABLE), *given), ids)


def reschedule(look: Look, ids: Sequence[bytes], states: frozenset[JobState], due: int) -> list[Changed]:
    """Move due times.

    Raises:
        ConfigurationError: A number of Redis does not hold the time exactly.
    """
    if due >= _LATEST:
        raise ConfigurationError(f"a job cannot be due {due} microseconds after 1970: Redis takes times until 2255")
    return _change(look, RESCHEDULE, (due, digits(states & RESCHEDULABLE)), ids)


def delete(look: Look, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
    """Delete jobs with all that belongs to them."""
    return _change(look, DELETE, (digits(states & DELETABLE),), ids)


def digits(states: frozenset[JobState]) -> str:
    """Write states as the scripts read them: the digits of their numbers.

    >>> digits(frozenset({JobState.DEAD, JobState.PENDING}))
    '16'
    """
    return "".join(sorted(str(NUMBERS[state]) for state in states))


def _change(look: Look, verb: Script, args: tuple[Argument, ...], ids: Sequence[bytes]) -> list[Changed]:
    answers: list[Changed] = []
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        changed, *parts = look_once(look, verb, *args, b"".join(some))
        holders = _holders(parts[_PARTS:])
        for place, row in enumerate(job_rows(some, parts[:_PARTS])):
            answers.append(Changed(row, changed=bool(changed[place]), holder=holders.get(place)))
    return answers


def _holders(told: Sequence[Any]) -> dict[int, JobRow | None]:
    """Read who holds the keys that stopped a retry, by the places of those that were stopped."""
    if not told:
        return {}
    places, ids, *parts = told
    return {place - 1: row for place, row in zip(places, job_rows(ids, parts), strict=True)}
