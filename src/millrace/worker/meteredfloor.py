"""The floor of a worker that is measured. Owns which attempt began when and ended when; a plain floor knows neither.

A runner finds `begin` and `done` here where it finds them on a plain floor, so that jobs of an app which nobody
measures pay nothing. What is known of an attempt is kept by id and claim until the store has its end, and counted then,
for all outcomes of a step at once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from millrace.job import JobRow
from millrace.metrics.families import PROCESSES, RUNNING, SLOTS
from millrace.metrics.meter import Ended, Meter
from millrace.metrics.readings import Readings
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.worker.attempt import Attempt, Seat
from millrace.worker.floor import Floor
from millrace.worker.news import Tell
from millrace.worker.notice import Notices
from millrace.worker.summary import Tally, kind_of
from millrace.worker.uptime import uptime

if TYPE_CHECKING:
    from millrace.worker.host import Host

__all__ = ["MeteredFloor"]

_Key = tuple[bytes, int]  # of an attempt: the job's id and the claim


class _Done(deque[Outcome]):
    """Outcomes to be written, and when each came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[_Key, float] = {}  #: by `uptime`

    def append(self, outcome: Outcome, /) -> None:
        """Take an outcome of an attempt that has just ended."""
        self.at[outcome.id, outcome.claim] = uptime()
        super().append(outcome)


class _MeteredTally(Tally):
    """Counts as a plain one does, and tells the floor."""

    def __init__(self, floor: MeteredFloor) -> None:
        super().__init__()
        self._floor = floor

    def add(self, outcomes: Sequence[Outcome], refused: Collection[int], resulting: Mapping[int, JobState]) -> None:
        """Count what was written."""
        super().add(outcomes, refused, resulting)
        self._floor.written(outcomes, refused, resulting)


class MeteredFloor(Floor):
    """See the module.

    Args:
        host: As for `Floor`, and so are the others.
        notices: Where the worker tells what happens.
        tasks: To run.
        grace: Seconds.
        tell: Tells listeners.
        meter: What counts.
    """

    def __init__(
        self,
        host: Host,
        notices: Notices,
        *,
        tasks: frozenset[str] | None,
        grace: float,
        tell: Tell | None = None,
        meter: Meter,
    ) -> None:
        super().__init__(host, notices, tasks=tasks, grace=grace, tell=tell)
        self._meter = meter
        self.done = self._done = _Done()
        self.tally = _MeteredTally(self)
        self._begun: dict[_Key, tuple[JobRow, float]] = {}
        self._delays: deque[tuple[str, str, float]] = deque()  # of jobs that began since they were last counted
        meter.attach(self)

    def leave(self) -> None:
        """Count what is left to count, and tell the meter no more."""
        self._meter.detach(self)

    # -- what runners and others tell of an attempt

    def begin(self, row: JobRow, seat: Seat) -> Attempt | None:
        """Begin an attempt, and note when."""
        attempt = super().begin(row, seat)
        if attempt is not None:
            now = uptime()
            self._begun[row.id, row.claim] = row, now
            if row.due is not None:
                self._delays.append((row.task, row.queue, now - (row.due - self.skew) / 1e6))
        return attempt

    def give_back(self, row: JobRow) -> None:
        """Return a job that has not begun; should that be refused, it is known whose job it was."""
        self._begun[row.id, row.claim] = row, uptime()
        super().give_back(row)

    def lost(self, ended: Sequence[JobRow | Outcome]) -> None:
        """Count attempts whose lease is another's."""
        super().lost(ended)
        rows: list[JobRow] = []
        for each in ended:
            known = self._forget(each.id, each.claim)
            row = each if isinstance(each, JobRow) else None if known is None else known[0]
            if row is not None:
                rows.append(row)
        self._meter.stale(rows)

    def written(self, outcomes: Sequence[Outcome], refused: Collection[int], resulting: Mapping[int, JobState]) -> None:
        """Count what the store has; what it refused is told by `lost`."""
        self.settle()
        ended: list[Ended] = []
        for place, outcome in enumerate(outcomes):
            if place in refused:
                continue
            known = self._forget(outcome.id, outcome.claim)
            if known is not None and outcome.recorded:
                row, seconds = known
                ended.append((row.task, row.queue, kind_of(outcome, resulting.get(place)), seconds))
        self._meter.ended(ended)

    def _forget(self, id: bytes, claim: int) -> tuple[JobRow, float] | None:
        """Take out what is known of an attempt: its job, and for how many seconds it ran."""
        until = self._done.at.pop((id, claim), None)
        known = self._begun.pop((id, claim), None)
        if known is None:
            return None
        row, since = known
        return row, max((uptime() if until is None else until) - since, 0.0)

    # -- millrace.metrics.meter.Source

    def settle(self) -> None:
        """Count the jobs that have begun since."""
        delays: list[tuple[str, str, float]] = []
        try:
            while True:
                delays.append(self._delays.popleft())
        except IndexError:
            pass
        if delays:
            self._meter.started(delays)

    def gauge(self, readings: Readings, /) -> None:
        """Set what runs now; a drain is no worker, and has no slots."""
        for lane, number in Counter((each.row.task, each.row.queue) for each in self.running.copy()).items():
            readings.set(RUNNING, lane, number)
        if self.slots:
            readings.set(SLOTS, (), self.slots)
            readings.set(PROCESSES, (), 1)
