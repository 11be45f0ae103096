"""One job followed from look to look: what has happened to it since the last one. Pure, no I/O of its own.

A store keeps how a job stands, its ended attempts and its log, and no list of changes: those are worked out by the
difference. Everything is told once, by the number of its claim: a start, lines, progress, an end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from msgspec.structs import replace

from millrace.eventmaker import (
    about,
    cancelled,
    deleted,
    ended_attempt,
    enqueued,
    logged,
    progressed,
    released,
    rescheduled,
    retried,
    started,
)
from millrace.events import JobDue, JobEvent
from millrace.job import JobRow, Progress
from millrace.records import AttemptRow, LogRow
from millrace.states import ACTIVE, FINAL, WAITING, JobState, OutcomeKind, Reason

__all__ = ["Trail"]

_LASTING = {OutcomeKind.COMPLETED, OutcomeKind.DEAD, OutcomeKind.CANCELLED}


class Trail:
    """What is known of one job, and was told of it.

    Args:
        row: The job as it stood when following began, of which nothing is told; None: all is told, from its enqueue on.

    >>> row = JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}")
    >>> trail = Trail()
    >>> [type(event).__name__ for event in trail.take(row, 0)]
    ['JobEnqueued']
    >>> done = replace(row, state=JobState.COMPLETED, claim=1, attempt=1, started=1, finished=2)
    >>> [type(event).__name__ for event in trail.take(done, 2)]
    ['JobStarted', 'JobCompleted']
    """

    __slots__ = ("_asked", "_began", "_ended", "_lines", "_over", "_progress", "row")

    def __init__(self, row: JobRow | None = None) -> None:
        self.row = row  #: as it was seen last
        self._began = 0  # up to which claim a start was told
        self._ended = 0  # and an end
        self._asked = 0  # and that it was asked to stop
        self._over = False  # whether the last end told was for good
        self._progress: Progress | None = None
        self._lines: list[LogRow] = []
        if row is not None:
            self._began = row.claim
            self._ended = row.claim - (row.state in ACTIVE)
            self._asked = row.claim if row.state is JobState.CANCELLING else 0
            self._over = row.state in FINAL
            self._progress = row.progress

    @property
    def over(self) -> bool:
        """Whether the job has ended, and that was told."""
        return self._over

    def take(
        self, row: JobRow, now: int, attempts: Sequence[AttemptRow] | None = None, lines: Sequence[LogRow] | None = None
    ) -> list[JobEvent]:
        """Return what has happened to the job since the last look, in order.

        Args:
            row: The job as it now is.
            now: The store's time, for what has no time of its own.
            attempts: Its ended attempts, read after the row; None: what the row tells must do.
            lines: Its log, read after those; None: it was not read.
        """
        before, self.row = self.row, row
        events: list[JobEvent] = [] if before is not None else [enqueued(row)]
        ended = row.claim - (row.state in ACTIVE)  # what has ended since the row was read is told by the next look
        ends = {each.claim: each for each in (self._guess(row, now) if attempts is None else attempts)}
        ends = {claim: end for claim, end in ends.items() if claim <= ended}
        fresh = self._fresh(lines or (), row.claim)
        crashes = 0
        claims = {*ends, *(line.claim for line in fresh), *({row.claim} if row.state in ACTIVE else ())}
        for claim in sorted(claims):
            end = ends.get(claim)
            crashes += end is not None and end.outcome is OutcomeKind.LEASE_LOST
            if claim > self._ended:
                events += self._attempt(
                    row, claim, end, [line for line in fresh if line.claim == claim], now, crashes=crashes
                )
        events += self._between(before, row, now)
        return events

    def gone(self, now: int) -> list[JobEvent]:
        """Tell that the job is not there any more."""
        return [] if self.row is None else [deleted(self.row, now)]

    def _attempt(
        self, row: JobRow, claim: int, end: AttemptRow | None, lines: Sequence[LogRow], now: int, *, crashes: int
    ) -> Iterator[JobEvent]:
        """Tell what is new of one attempt: its start, its lines, its progress, its end."""
        that = _as_of(row, claim, end)
        if claim > self._began:
            if self._began > self._ended:  # it was given back before it began, which leaves no attempt
                yield released(_as_of(row, self._began, None), now)
            if self._over:
                yield retried(that, that.started or now)
                self._over = False
            yield started(that, that.started or (lines[0].at if lines else now))
            self._began = claim
        for line in lines:
            yield logged(row, line)
        if claim == row.claim:
            yield from self._told_progress(row, now)
            if row.state is JobState.CANCELLING and self._asked < claim:
                self._asked = claim
                yield cancelled(row, now)
        if end is not None:
            last = claim == row.claim and row.finished == end.finished
            state = row.state if last and row.state in FINAL else None
            yield from ended_attempt(that, end, state, crashes)
            self._ended = claim
            self._over = state is not None or end.outcome in _LASTING

    def _told_progress(self, row: JobRow, now: int) -> Iterator[JobEvent]:
        if row.progress != self._progress:
            self._progress = row.progress
            if row.progress is not None:
                yield progressed(row, now, row.progress)

    def _between(self, before: JobRow | None, row: JobRow, now: int) -> Iterator[JobEvent]:
        """Tell what happens to a job while it does not run."""
        if row.state in ACTIVE:
            return
        if self._began > self._ended and self._began <= row.claim:  # it was given back before it began
            yield released(row, now)
            self._ended = self._began
            return
        if self._over and row.state not in FINAL:
            self._over, self._progress = False, None
            yield retried(row, now)
        elif row.state in FINAL and not self._over:
            self._over = True
            at = now if row.finished is None else row.finished
            yield from ended_attempt(row, self._as_end(row, at), row.state, row.crashes)
        elif before is not None and before.claim == row.claim and before.state not in ACTIVE:
            if before.state is JobState.FAILED and not row.attempt and before.attempt:
                yield retried(row, now)
            elif row.state is JobState.PENDING and before.state in WAITING:
                yield JobDue(**about(row, now))
            elif row.due != before.due:
                yield rescheduled(row, now)

    def _guess(self, row: JobRow, now: int) -> list[AttemptRow]:
        """Return the end of the last attempt as far as the row tells it."""
        if row.claim <= self._ended or row.state in ACTIVE:
            return []
        return [self._as_end(row, now if row.finished is None else row.finished)]

    @staticmethod
    def _as_end(row: JobRow, at: int) -> AttemptRow:
        return AttemptRow(row.attempt, row.claim, row.worker, row.started, at, _outcome(row), row.error)

    def _fresh(self, lines: Sequence[LogRow], claim: int) -> Sequence[LogRow]:
        """Return the lines that were not there at the last look; those of a later claim than is known wait.

        The log keeps its newest lines, so what was there then may have lost its beginning.
        """
        lines = list(takewhile(lambda line: line.claim <= claim, lines))
        old = self._lines
        first = 0
        while old[first:] != lines[: len(old) - first]:
            first += 1
        if lines:
            self._lines = lines
        return lines[len(old) - first :]


def _as_of(row: JobRow, claim: int, end: AttemptRow | None) -> JobRow:
    """Return the job's row as it was under a claim."""
    if end is not None:
        return replace(row, claim=claim, attempt=end.attempt, worker=end.worker, started=end.started)
    return row if claim == row.claim else replace(row, claim=claim, worker=None, started=None)


def _outcome(row: JobRow) -> OutcomeKind:
    """Say how the last attempt of a job that does not run has ended, as far as its row tells."""
    match row.state:
        case JobState.COMPLETED:
            return OutcomeKind.COMPLETED
        case JobState.DEAD:
            return OutcomeKind.LEASE_LOST if row.reason is Reason.CRASHED else OutcomeKind.DEAD
        case JobState.CANCELLED:
            return OutcomeKind.CANCELLED
        case JobState.FAILED:
            return OutcomeKind.FAILED
        case JobState.SCHEDULED:
            return OutcomeKind.SNOOZED
        case _:
            if row.reason is Reason.LEASE_LOST:
                return OutcomeKind.LEASE_LOST
            return OutcomeKind.FAILED if row.error is not None and row.attempt else OutcomeKind.RELEASED
