"""What the attempts of one worker tell those who listen. Owns who is told what once it is written; only where any do.

An outcome names its attempt by a handle, so the rows of the attempts under way are kept here for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from millrace.eventmaker import ended, logged, lost, progressed, started
from millrace.events import Event, JobLogged, JobProgress, JobStarted
from millrace.job import JobRow
from millrace.messages import Beat, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import JobState

if TYPE_CHECKING:
    from millrace.worker.attempt import Attempt
    from millrace.worker.floor import Floor

__all__ = ["News", "Tell"]

Tell = Callable[[Sequence[Event]], None]


class News:
    """See the module.

    Args:
        floor: Whose attempts.
    """

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._rows: dict[tuple[bytes, int], JobRow] = {}  # of the attempts under way, by id and claim

    def begun(self, row: JobRow) -> None:
        """Note and tell that an attempt begins."""
        self._rows[row.id, row.claim] = row
        if self._floor.hooks.listeners_of(JobStarted):
            self._floor.tell([started(row, self._floor.store_time())])

    def written(self, outcomes: Sequence[Outcome], answer: StepAnswer) -> None:
        """Tell what became of outcomes; of attempts that have completed in their own transaction another room tells."""
        events: list[Event] = []
        for place, outcome in enumerate(outcomes):
            key = outcome.id, outcome.claim
            if key in self._floor.expected:
                continue
            row = self._rows.pop(key, None)
            if row is None:  # it never began, or nobody listened then
                continue
            if place in answer.lost:
                events.append(lost(row, answer.now))
            else:
                events.append(ended(row, outcome, answer.now, answer.resulting.get(place)))
        self._tell(events)

    def own(self, attempt: Attempt, outcome: Outcome) -> None:
        """Tell the end of an attempt that has completed in its own transaction."""
        self.drop(outcome)
        self._tell([ended(attempt.row, outcome, self._floor.store_time())])

    def lost(self, attempt: Attempt) -> None:
        """Tell that an attempt has lost its lease, and has no outcome."""
        self._rows.pop((attempt.row.id, attempt.row.claim), None)
        self._tell([lost(attempt.row, self._floor.store_time())])

    def drop(self, outcome: Outcome) -> None:
        """Forget an attempt of which nothing is known."""
        self._rows.pop((outcome.id, outcome.claim), None)

    def lines(self, lines: Sequence[LogRow], kept: Sequence[bool]) -> None:
        """Tell the log lines that the store has kept."""
        if not self._floor.hooks.listeners_of(JobLogged):
            return
        events: list[Event] = []
        for line, stands in zip(lines, kept, strict=True):
            row = self._rows.get((line.id, line.claim)) if stands else None
            if row is not None:
                events.append(logged(row, line))
        self._tell(events)

    def beats(self, beats: Sequence[tuple[Attempt, Beat]], states: Sequence[JobState | None]) -> None:
        """Tell the progress that the store has."""
        if not self._floor.hooks.listeners_of(JobProgress):
            return
        now = self._floor.store_time()
        self._tell(
            [
                progressed(attempt.row, now, beat.progress)
                for (attempt, beat), state in zip(beats, states, strict=True)
                if beat.progress is not None and state is not None
            ]
        )

    def _tell(self, events: Sequence[Event]) -> None:
        if events:
            self._floor.tell(events)
