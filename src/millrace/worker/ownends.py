"""The ends of attempts that were completed in their own transaction: what is written, counted and told of them.

No step waits for such a transaction. Usually it has been committed, and there is nothing left to write. Where it was
rolled back, the attempt has failed. Where it is still open (its handler has returned too early, or was left to itself),
only its end will tell: nothing is written, and the lease passes should it be rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence

from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.store import OpenEnds
from millrace.worker.afterwards import tell_own
from millrace.worker.attempt import Attempt
from millrace.worker.floor import Floor
from millrace.worker.outage import UNUSABLE
from millrace.worker.telling import LOGGER, tell_end, tell_own_end

__all__ = ["note_own", "settle_own"]

_RUNNING = frozenset({JobState.RUNNING, JobState.CANCELLING})


def settle_own(floor: Floor, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Settle those of attempts completed in their own transaction; return the others, which are to be written.

    Of a store in which no single job can be locked, all are returned.
    """
    store: object = floor.store
    if not isinstance(store, OpenEnds):
        return outcomes
    own = [outcome for outcome in outcomes if (outcome.id, outcome.claim) in floor.expected]
    if not own:
        return outcomes
    others = [outcome for outcome in outcomes if (outcome.id, outcome.claim) not in floor.expected]
    left = list(own)
    try:
        rows = floor.store.get([outcome.id for outcome in own])
        for outcome, row in zip(own, rows, strict=True):
            runs = row is not None and row.claim == outcome.claim and row.state in _RUNNING
            _note(floor, outcome, store.finish_unless_open(floor.worker, outcome) if runs else False)
            left.remove(outcome)
    except UNUSABLE as error:
        floor.done.extendleft(reversed(left))
        floor.outage.hit(error)
    except Exception:  # noqa: BLE001 - whatever it is, it is met again where all others are written
        return [*left, *others]
    return others


def _note(floor: Floor, outcome: Outcome, written: bool | None) -> None:  # noqa: FBT001 - the store's answer
    """Count an end: written, needless because its own transaction was committed, or left to that transaction."""
    attempt = floor.expected.pop((outcome.id, outcome.claim))
    if written is None:
        LOGGER.warning(
            "job %s was completed in a transaction that is still open, though its handler has ended: whether it is"
            " completed is for that transaction to tell",
            outcome.id.hex(),
            extra={"job_id": outcome.id.hex()},
        )
        floor.lost([outcome])
        if floor.news is not None:
            floor.news.drop(outcome)
    elif written:
        floor.tally.add([outcome], (), {})
        tell_end(attempt.row, outcome)
        tell_own(attempt, outcome)
        floor.steps.hinted()  # it may be due again soon
    else:
        note_own(floor, attempt, outcome)


def note_own(floor: Floor, attempt: Attempt, outcome: Outcome) -> None:
    """Count and tell the success of an attempt whose own transaction was committed.

    Args:
        floor: The worker's.
        attempt: Which.
        outcome: What would have been written, had it not been; the store has refused it.
    """
    completed = Outcome.completed(attempt.row, None, retention=None)
    floor.tally.add([completed], (), {})
    tell_own_end(attempt, outcome)
    tell_own(attempt, completed)
