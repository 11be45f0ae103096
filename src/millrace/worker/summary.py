"""What a worker has done, in numbers. Owns the counting of outcomes; each is counted once, when the store has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import msgspec

from millrace.outcome import Outcome
from millrace.states import JobState, OutcomeKind
from millrace.worker.uptime import uptime

__all__ = ["Summary", "Tally", "kind_of"]


class Summary(msgspec.Struct, frozen=True):
    """What a worker has done since its start.

    >>> Summary({OutcomeKind.COMPLETED: 30}, lost=0, abandoned=0, seconds=2.0).rate
    15.0
    """

    outcomes: Mapping[OutcomeKind, int]  #: attempts ended, by how; each kind that occurred
    lost: int  #: attempts whose lease was another's when they ended
    abandoned: int  #: attempts given up because they did not answer in time
    seconds: float  #: from the start to the last written outcome

    @property
    def attempts(self) -> int:
        """All attempts ended."""
        return sum(self.outcomes.values())

    @property
    def rate(self) -> float:
        """Attempts ended a second."""
        return self.attempts / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        counted = ", ".join(f"{number} {kind.value}" for kind, number in self.outcomes.items()) or "no job"
        more = f", {self.lost} lost" if self.lost else ""
        more += f", {self.abandoned} abandoned" if self.abandoned else ""
        return f"{counted}{more} in {self.seconds:.1f} s ({self.rate:,.0f} jobs/s)"


_KINDS = {JobState.CANCELLED: OutcomeKind.CANCELLED, JobState.DEAD: OutcomeKind.DEAD}


def kind_of(outcome: Outcome, resulting: JobState | None) -> OutcomeKind:
    """Say how an attempt ended: as its outcome says, or otherwise where the store put the job into another state.

    >>> from millrace.job import JobRow
    >>> row = JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}", claim=1)
    >>> kind_of(Outcome.snoozed(row, delay=1, retention=None), JobState.CANCELLED).value
    'cancelled'
    """
    return outcome.kind if resulting is None else _KINDS.get(resulting, outcome.kind)


class Tally:
    """The counts while they grow; written by whoever leads a step, one at a time under the steps' own lock.

    >>> Tally().summary().attempts
    0
    """

    def __init__(self) -> None:
        self.lost = 0
        self.abandoned = 0
        self._counts: Counter[OutcomeKind] = Counter()
        self._start = self._last = uptime()

    def add(self, outcomes: Sequence[Outcome], refused: Collection[int], resulting: Mapping[int, JobState]) -> None:
        """Count what was written; where a cancel won, the attempt counts as cancelled."""
        if refused or resulting:
            kinds = [
                kind_of(outcome, resulting.get(place))
                for place, outcome in enumerate(outcomes)
                if place not in refused and outcome.recorded
            ]
        else:
            kinds = [outcome.kind for outcome in outcomes if outcome.recorded]
        self._counts.update(kinds)
        if kinds:
            self._last = uptime()

    def summary(self) -> Summary:
        """Return the counts as they are."""
        return Summary(MappingProxyType(dict(self._counts)), self.lost, self.abandoned, self._last - self._start)
