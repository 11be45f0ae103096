"""The record of a job in the hash `meta`, as the scripts have it too (`scripts/_common.lua`). Owns its form.

What changes stands in a fixed form in front, the names behind; a transition rewrites it whole. 0 means "none" for the
times of starting, lease and end, as no job has any of them in 1970, and for the reason.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from millrace.states import JobState, Reason

__all__ = [
    "FORM",
    "FOR_EVER",
    "NOBODY",
    "NUMBERS",
    "REASONS",
    "REASON_NUMBERS",
    "STATES",
    "worker_bytes",
    "worker_number",
]

FORM: Final = struct.Struct(">BBIIIIIIhdddddd8s")
#: state, reason, claim, rev, attempt, max_attempts, crashes, max_crashes, priority, due, created, started, lease,
#: finished, expires, worker; then queue, NUL, task, NUL, unique key (empty: none).

NOBODY: Final = bytes(8)  #: no worker
FOR_EVER: Final = -1.0  #: the time at which a job goes that is kept for ever; 0 is one that has not ended

STATES: Final = (
    JobState.SCHEDULED,
    JobState.PENDING,
    JobState.RUNNING,
    JobState.CANCELLING,
    JobState.FAILED,
    JobState.COMPLETED,
    JobState.DEAD,
    JobState.CANCELLED,
)
NUMBERS: Final[Mapping[JobState, int]] = {state: number for number, state in enumerate(STATES)}

REASONS: Final[tuple[Reason | None, ...]] = (None, *Reason)
REASON_NUMBERS: Final[Mapping[Reason | None, int]] = {reason: number for number, reason in enumerate(REASONS)}


def worker_bytes(worker: int | None) -> bytes:
    """Pack a worker's number, which has 63 bits and is never 0.

    >>> worker_bytes(258).hex()
    '0000000000000102'
    """
    return NOBODY if worker is None else worker.to_bytes(8, "big", signed=True)


def worker_number(packed: bytes) -> int | None:
    """Read it.

    >>> worker_number(worker_bytes(258))
    258
    """
    return None if packed == NOBODY else int.from_bytes(packed, "big", signed=True)
