"""The bench on which the examples work: a store, its clock, and the steps that many of them share. Asserts little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from millrace.clock import SECOND
from millrace.ids import new_id
from millrace.job import JobRow
from millrace.messages import ClaimRequest, NewRow, Rescued, StepAnswer
from millrace.outcome import ErrorRecord, Outcome
from millrace.states import CANCELLABLE, JobState, OutcomeKind, Reason
from millrace.store import Store
from millrace.testing.clock import ManualClock

__all__ = ["ANN", "BEN", "ENDINGS", "ERROR", "HOUR", "KEPT", "LEASE", "Bench"]

ANN, BEN = 0x0A11, 0x7FFF_FFFF_FFFF_FFFF  #: two workers, one with the highest number there is

HOUR = 3600 * SECOND
LEASE = 30 * SECOND
KEPT = 600 * SECOND  #: how long the examples keep ended jobs

ERROR = ErrorRecord("Broken", "as asked", "Traceback (most recent call last): …")

#: Every way in which an attempt ends, as an outcome for one claimed job.
ENDINGS: Mapping[str, Callable[[JobRow], Outcome]] = {
    "completed": lambda row: Outcome.completed(row, b'"done"', retention=KEPT),
    "failed": lambda row: Outcome.failed(row, ERROR, delay=HOUR, retention=KEPT),
    "dead": lambda row: Outcome.dead(row, ERROR, reason=Reason.EXHAUSTED, retention=KEPT),
    "cancelled": lambda row: Outcome.cancelled(row, None, retention=KEPT),
    "snoozed": lambda row: Outcome.snoozed(row, delay=HOUR, retention=KEPT),
    "released": lambda row: Outcome.released(row, retention=KEPT),
    "returned": lambda row: Outcome.returned(row, retention=KEPT),
}


class Bench:
    """A store under test and its clock.

    Args:
        store: An empty store that goes by the clock.
        clock: The clock.
    """

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self._numbers = count(1)

    @property
    def now(self) -> int:
        """The time in microseconds."""
        return self.clock.now()

    def later(self, seconds: float) -> int:
        """Let time pass; return the time that it then is."""
        self.clock.advance(seconds)
        return self.now

    # -- enqueueing

    def row(self, **fields: Any) -> NewRow:
        """Make a row to insert: a task `work` in the queue `default`, unless told otherwise."""
        given: dict[str, Any] = {"id": new_id(), "task": "work", "queue": "default", "args": b"{}"} | fields
        return NewRow(**given)

    def add(self, **fields: Any) -> bytes:
        """Insert one job; return its id."""
        row = self.row(**fields)
        assert self.store.insert([row]).existing == {}
        return row.id

    def add_some(self, number: int, **fields: Any) -> list[bytes]:
        """Insert some jobs in one call; return their ids."""
        rows = [self.row(**fields) for _ in range(number)]
        assert self.store.insert(rows).existing == {}
        return [row.id for row in rows]

    # -- working

    def claim(self, worker: int = ANN, limit: int = 1000, **request: Any) -> list[JobRow]:
        """Claim jobs in one step."""
        given: dict[str, Any] = {"lease": LEASE} | request
        return list(self.store.step(worker, (), [ClaimRequest(limit, **given)]).claimed)

    def take(self, worker: int = ANN, **request: Any) -> JobRow:
        """Claim one job, which must be there."""
        (row,) = self.claim(worker, 1, **request)
        return row

    def finish(self, worker: int, *outcomes: Outcome) -> StepAnswer:
        """Finish attempts in one step."""
        return self.store.step(worker, outcomes, ())

    def end(self, ending: str, row: JobRow, worker: int = ANN) -> StepAnswer:
        """Finish one attempt in one of the `ENDINGS`."""
        return self.finish(worker, ENDINGS[ending](row))

    def cancel(self, id: bytes) -> bool:
        """Cancel one job, to be kept for `KEPT`; tell whether it changed."""
        (changed,) = self.store.cancel([id], CANCELLABLE, retention=KEPT)
        return changed.changed

    def lose(self, *rows: JobRow) -> list[Rescued]:
        """Let the leases of claimed jobs pass, and take them back."""
        ends = [row.lease for row in rows if row.lease is not None]
        self.clock.move_to(max(ends) + SECOND)
        return self.rescue()

    def rescue(self, limit: int = 500) -> list[Rescued]:
        """Take back lost leases; what ends is kept for `KEPT`."""
        return self.store.rescue(retention=KEPT, dead_retention=KEPT, limit=limit)

    # -- making jobs in a state

    def bring(self, state: JobState, **fields: Any) -> bytes:
        """Make a job in any of the eight states, in a queue of its own unless told otherwise."""
        fields = {"queue": f"brought-{next(self._numbers)}"} | fields
        if state is JobState.SCHEDULED:
            return self.add(delay=HOUR, **fields)
        id = self.add(**fields)
        if state is JobState.PENDING:
            return id
        row = self.take(queues=(fields["queue"],))
        assert row.id == id
        if state is JobState.CANCELLING:
            assert self.cancel(id)
        elif state is not JobState.RUNNING:
            self.end(state.value, row)
        return id

    # -- looking

    def job(self, id: bytes) -> JobRow:
        """Read a job, which must be there."""
        (row,) = self.store.get([id])
        assert row is not None, f"job {id.hex()} is gone"
        return row

    def state(self, id: bytes) -> JobState:
        """Read a job's state."""
        return self.job(id).state

    def states(self, ids: list[bytes]) -> list[JobState]:
        """Read the states of jobs."""
        return [self.state(id) for id in ids]

    def is_gone(self, id: bytes) -> bool:
        """Tell whether there is no such job."""
        return self.store.get([id]) == [None]

    def history(self, id: bytes) -> list[OutcomeKind]:
        """Read how a job's attempts ended."""
        return [attempt.outcome for attempt in self.store.attempts(id)]
