"""Writing how attempts ended, and claiming in the same breath. Owns what must happen around each `Store.step`.

Outcomes leave `floor.done` only when the store has them. An outcome that is refused is counted and told, never written
again. An outcome that the store cannot take, by some fault of ours or its own, must not hold up the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.store import MAX_CLAIM
from millrace.worker.afterwards import tell_own
from millrace.worker.floor import Floor
from millrace.worker.outage import UNUSABLE
from millrace.worker.ownends import note_own
from millrace.worker.telling import LOGGER, tell_end

__all__ = ["step", "take_outcomes"]


def take_outcomes(floor: Floor, most: int = MAX_CLAIM) -> list[Outcome]:
    """Take the outcomes that have gathered, the oldest first."""
    done = floor.done
    taken: list[Outcome] = []
    try:
        for _ in range(min(len(done), most)):
            taken.append(done.popleft())  # noqa: PERF401 - what was taken before another thread took the rest is ours
    except IndexError:
        pass
    return taken


def step(floor: Floor, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest]) -> StepAnswer | None:
    """Write outcomes and claim; None where the store cannot be used, and the outcomes are kept for later."""
    notes = floor.notes
    if (notes.pending or notes.busy) and not notes.flush():
        floor.done.extendleft(reversed(outcomes))
        return None
    try:
        answer = floor.store.step(floor.worker, outcomes, claims)
    except UNUSABLE as error:
        floor.done.extendleft(reversed(outcomes))
        floor.outage.hit(error)
        return None
    except Exception as error:  # noqa: BLE001 - a fault of the store must not lose the outcomes
        if not outcomes:
            floor.outage.hit(error)
            return None
        LOGGER.exception("the store refused %d outcomes together; they are written one by one", len(outcomes))
        _write_singly(floor, outcomes)
        return None
    floor.outage.over()
    floor.heard(answer.now)
    _note(floor, outcomes, answer)
    return answer


def _note(floor: Floor, outcomes: Sequence[Outcome], answer: StepAnswer) -> None:
    """Count what was written, and tell what was refused."""
    floor.tally.add(outcomes, answer.lost, answer.resulting)
    if floor.news is not None:
        floor.news.written(outcomes, answer)
    if floor.expected:
        _settle_expected(floor, outcomes, answer)
        return
    if answer.lost:
        _tell_lost(floor, [outcomes[place] for place in sorted(answer.lost)])


def _settle_expected(floor: Floor, outcomes: Sequence[Outcome], answer: StepAnswer) -> None:
    """Tell refusals that mean success, of jobs completed in their own transaction, from the others."""
    lost: list[Outcome] = []
    for place, outcome in enumerate(outcomes):
        attempt = floor.expected.pop((outcome.id, outcome.claim), None)
        if attempt is not None:
            if place in answer.lost:
                note_own(floor, attempt, outcome)
            else:
                tell_end(attempt.row, outcome)
                tell_own(attempt, outcome)
        elif place in answer.lost:
            lost.append(outcome)
    if lost:
        _tell_lost(floor, lost)


def _tell_lost(floor: Floor, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        LOGGER.warning(
            "the outcome %s of job %s was refused: its lease is another's, or the job has ended",
            outcome.kind.value,
            outcome.id.hex(),
            extra={"job_id": outcome.id.hex()},
        )
    floor.lost(outcomes)


def _write_singly(floor: Floor, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes one by one; what the store cannot take is dropped, and its lease will pass."""
    for place, outcome in enumerate(outcomes):
        try:
            answer = floor.store.step(floor.worker, (outcome,), ())
        except UNUSABLE as error:
            floor.done.extendleft(reversed(outcomes[place:]))
            floor.outage.hit(error)
            return
        except Exception:  # noqa: BLE001 - this one shall not hold up the others
            LOGGER.exception("the outcome of job %s cannot be written and is dropped", outcome.id.hex())
            floor.lost([outcome])
            if floor.news is not None:
                floor.news.drop(outcome)
        else:
            _note(floor, (outcome,), answer)
