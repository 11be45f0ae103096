"""The states of a job, why it is in one, and the one table of transitions. Pure data, no I/O.

The stores' SQL checks, the diagram in the docs and the oracle of the conformance suite come from `TRANSITIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "ACTIVE",
    "CANCELLABLE",
    "DELETABLE",
    "FINAL",
    "LIVE",
    "RESCHEDULABLE",
    "RETRYABLE",
    "TRANSITIONS",
    "WAITING",
    "JobState",
    "OutcomeKind",
    "Reason",
    "allowed",
]


class JobState(StrEnum):
    """Where a job stands. A `StrEnum`: `job.state == "completed"` holds.

    >>> JobState("dead") is JobState.DEAD
    True
    """

    SCHEDULED = "scheduled"  #: not due yet
    PENDING = "pending"  #: due, waits for a worker
    RUNNING = "running"  #: leased by one claim
    CANCELLING = "cancelling"  #: running, a cancel was asked for
    FAILED = "failed"  #: an attempt failed, a retry waits for its time
    COMPLETED = "completed"  #: done
    DEAD = "dead"  #: gave up
    CANCELLED = "cancelled"  #: stopped on purpose


class Reason(StrEnum):
    """More about a state: why a job is dead, cancelled or waiting again. A claim clears it.

    >>> str(Reason.SKIP_RETRY)
    'skip-retry'
    """

    EXHAUSTED = "exhausted"  #: dead: the tries are used up
    SKIP_RETRY = "skip-retry"  #: dead: the handler or the policy said so
    TIMEOUT = "timeout"  #: the last attempt ran past its timeout
    CRASHED = "crashed"  #: dead: too many leases were lost
    LEASE_LOST = "lease-lost"  #: waits again, after its worker was lost
    BAD_RESULT = "bad-result"  #: dead: what the handler returned cannot be stored
    CANCELLED = "cancelled"  #: cancelled by a caller or by the handler
    PARENT = "parent"  #: cancelled because a parent did not complete


class OutcomeKind(StrEnum):
    """How one attempt ended, as `Attempt.outcome` tells it.

    >>> str(OutcomeKind.LEASE_LOST)
    'lease-lost'
    """

    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    SNOOZED = "snoozed"
    RELEASED = "released"
    LEASE_LOST = "lease-lost"


_S = JobState

#: From each state, the states it may leave to. Every change of a job in every store is one of these.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        _S.SCHEDULED: frozenset({_S.PENDING, _S.CANCELLED}),
        _S.PENDING: frozenset({_S.RUNNING, _S.SCHEDULED, _S.CANCELLED}),
        _S.RUNNING: frozenset(
            {_S.COMPLETED, _S.FAILED, _S.DEAD, _S.CANCELLED, _S.SCHEDULED, _S.PENDING, _S.CANCELLING},
        ),
        _S.CANCELLING: frozenset({_S.COMPLETED, _S.CANCELLED, _S.DEAD}),
        _S.FAILED: frozenset({_S.PENDING, _S.SCHEDULED, _S.CANCELLED}),
        _S.COMPLETED: frozenset({_S.PENDING}),
        _S.DEAD: frozenset({_S.PENDING}),
        _S.CANCELLED: frozenset({_S.PENDING}),
    },
)

WAITING = frozenset({_S.SCHEDULED, _S.FAILED})  #: waits for its time
ACTIVE = frozenset({_S.RUNNING, _S.CANCELLING})  #: holds a lease
FINAL = frozenset({_S.COMPLETED, _S.DEAD, _S.CANCELLED})  #: ended
LIVE = frozenset(JobState) - FINAL  #: not ended: holds its unique key

CANCELLABLE = frozenset({_S.SCHEDULED, _S.PENDING, _S.FAILED, _S.RUNNING})  #: `cancel` changes these
RETRYABLE = FINAL | {_S.FAILED}  #: `retry` changes these
RESCHEDULABLE = WAITING | {_S.PENDING}  #: `reschedule` changes these
DELETABLE = frozenset(JobState) - ACTIVE  #: `delete` removes these


def allowed(before: JobState, after: JobState) -> bool:
    """Tell whether a job may go from one state to another in one step.

    >>> allowed(JobState.RUNNING, JobState.COMPLETED), allowed(JobState.DEAD, JobState.RUNNING)
    (True, False)
    """
    return after in TRANSITIONS[before]
