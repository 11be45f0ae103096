"""What queues have answered to outcomes of one step. Owns that no answer is lost where a queue cannot be reached.

A worker whose step has failed sends its outcomes again, all of them. Those that other queues have written by then would
be refused as lost, so their answers are kept for the second time.
"""

from __future__ import annotations

from collections.abc import Sequence

from millrace.messages import StepAnswer
from millrace.outcome import Outcome
from millrace.states import JobState

__all__ = ["Answers", "Settled"]

_MOST = 10_000  # answers that are kept; nobody asks for older ones

_Told = tuple[Outcome, bool, JobState | None]  # whether it was refused, and how it ended where not as it asked


class Settled:
    """Answers to outcomes of steps that failed elsewhere."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, bytes, int], _Told] = {}

    def keep(self, worker: int, told: Sequence[_Told]) -> None:
        """Keep answers for the next time."""
        if len(self._told) > _MOST:
            self._told = {}
        for each in told:
            self._told[worker, each[0].id, each[0].claim] = each

    def take(self, worker: int, outcome: Outcome) -> _Told | None:
        """Return the answer that this very outcome was given before, once."""
        if not self._told:
            return None
        told = self._told.pop((worker, outcome.id, outcome.claim), None)
        return told if told is not None and told[0] == outcome else None


class Answers:
    """The answers to the outcomes of one step, as they come.

    Args:
        settled: What earlier steps have been told.
        worker: Whose step.
        outcomes: What is to be written.

    Attributes:
        worker, outcomes: As given.
        now: The latest time that was told.
        room_at: The first time told at which there is room that a rate does not leave now.
        open: The places of outcomes that must be sent.
    """

    def __init__(self, settled: Settled, worker: int, outcomes: Sequence[Outcome]) -> None:
        self._settled, self.worker, self.outcomes = settled, worker, outcomes
        self._told: dict[int, _Told] = {}
        self.now = 0
        self.room_at: int | None = None
        for place, outcome in enumerate(outcomes):
            told = settled.take(worker, outcome)
            if told is not None:
                self._told[place] = told
        self.open = [place for place in range(len(outcomes)) if place not in self._told]

    def note(self, places: Sequence[int], answer: StepAnswer) -> list[int]:
        """Note the answer to those at some places; return where they were refused, which may be asked elsewhere."""
        self.now = max(self.now, answer.now)
        if answer.room_at is not None:
            self.room_at = min(answer.room_at, self.room_at or answer.room_at)
        for each, place in enumerate(places):
            if each not in answer.lost:
                self._told[place] = self.outcomes[place], False, answer.resulting.get(each)
        return [places[each] for each in sorted(answer.lost)]

    def refuse(self, places: Sequence[int]) -> None:
        """Note that those at some places are lost: no queue has their attempts."""
        for place in places:
            self._told[place] = self.outcomes[place], True, None

    def keep(self) -> None:
        """Keep what was answered: the step has failed."""
        self._settled.keep(self.worker, list(self._told.values()))

    @property
    def lost(self) -> frozenset[int]:
        """The places of those that were refused."""
        return frozenset(place for place, (_, refused, _) in self._told.items() if refused)

    @property
    def resulting(self) -> dict[int, JobState]:
        """By place, the state of those that ended otherwise than they asked."""
        return {place: state for place, (_, _, state) in self._told.items() if state is not None}
