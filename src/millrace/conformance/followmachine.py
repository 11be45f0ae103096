"""The state machine of follow-ups: random families of jobs on a real store, compared with a model after every rule.

What matters is the order in which parents end, come back and go: one that died is retried, one is deleted while it is
waited for, a held job is cancelled and retried before its parent ends. So every verb may meet any job at any time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from millrace.clock import SECOND
from millrace.followups import Following, OnParent, is_held
from millrace.ids import new_id
from millrace.job import HELD, JobRow
from millrace.messages import ClaimRequest, NewRow
from millrace.options import Hold, JobOptions
from millrace.outcome import Outcome, error_record
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE, JobState, Reason
from millrace.store import Store
from millrace.testing.clock import ManualClock

__all__ = ["FollowMachine"]

START = 1_800_000_000 * SECOND
LEASE = 1000 * SECOND
WORKER = 11

#: How a running job may end.
ENDINGS: dict[str, Callable[[JobRow], Outcome]] = {
    "completed": lambda row: Outcome.completed(row, b"1", retention=None),
    "completed and forgotten": lambda row: Outcome.completed(row, b"1", retention=0),
    "dead": lambda row: Outcome.dead(row, error_record("E: x"), reason=Reason.EXHAUSTED, retention=None),
    "dead and forgotten": lambda row: Outcome.dead(row, error_record("E: x"), reason=Reason.EXHAUSTED, retention=0),
    "cancelled": lambda row: Outcome.cancelled(row, None, retention=None),
    "released": lambda row: Outcome.released(row, retention=None),
}


@dataclass
class Member:
    """What the model knows of one job; `waits` are the parents that it waits for still, be they there or not."""

    state: JobState
    on_parent: OnParent = "wait"
    waits: set[bytes] = field(default_factory=set[bytes])
    held: bool = False
    delay: int = 0
    created: int = 0
    due: int = 0


class FollowMachine(RuleBasedStateMachine):
    """Subclass it with a `make_store` whose stores hold jobs, and run its `TestCase`.

    >>> from millrace.stores import MemoryStore
    >>> class Machine(FollowMachine):
    ...     def make_store(self, clock):
    ...         return MemoryStore(clock=clock)
    """

    @abstractmethod
    def make_store(self, clock: ManualClock) -> Store:
        """Make an empty store on a clock that the machine moves."""

    @initialize()
    def begin(self) -> None:
        """Start empty."""
        self.clock = ManualClock(START)
        self.store = self.make_store(self.clock)
        self.follower = cast("Following", self.store)
        self.jobs: dict[bytes, Member] = {}
        self.running: dict[bytes, JobRow] = {}

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    # -- rules

    @rule(
        data=st.data(),
        on_parent=st.sampled_from(["wait", "cancel", "run"]),
        parents=st.integers(0, 3),
        own=st.booleans(),
        delay=st.sampled_from([0, 0, 5]),
    )
    def insert(self, data: st.DataObject, on_parent: OnParent, parents: int, delay: int, *, own: bool) -> None:
        """Insert a job that waits for some others; one of them perhaps comes in the same call."""
        first = NewRow(new_id(), "work", "alpha", b"{}", max_crashes=9)
        some = self._some(data, parents) if self.jobs else []
        some += [first.id] if own else []
        hold = Hold(tuple(id.hex() for id in some), on_parent, delay=delay * SECOND)
        options = JobOptions(after=hold).encode()
        row = NewRow(new_id(), "work", "alpha", b"{}", max_crashes=9)
        if some:
            row = NewRow(new_id(), "work", "alpha", b"{}", due=HELD, options=options, max_crashes=9)
        rows = [first, row] if own else [row]
        answer = self.follower.hold(rows)
        assert (answer.existing, answer.unknown) == ({}, None)
        now = self.clock.now()
        if own:
            self.jobs[first.id] = Member(JobState.PENDING, created=now, due=now)
        if not some:
            self.jobs[row.id] = Member(JobState.PENDING, created=now, due=now)
            return
        self.jobs[row.id] = Member(
            JobState.SCHEDULED, on_parent, set(some), held=True, delay=delay * SECOND, created=now, due=HELD
        )
        for parent in dict.fromkeys(some):
            self._act(parent, only=row.id)

    @rule(data=st.data())
    def insert_after_a_stranger(self, data: st.DataObject) -> None:
        """Ask for a job that waits for one that is not there: nothing is written."""
        stranger = new_id()
        known = self._some(data, 1) if self.jobs else []
        hold = Hold(tuple(id.hex() for id in [*known, stranger]))
        row = NewRow(new_id(), "work", "alpha", b"{}", due=HELD, options=JobOptions(after=hold).encode())
        assert self.follower.hold([row]).unknown == (0, stranger)

    @rule(seconds=st.sampled_from([1, 6]))
    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        """Claim some of what is due: never a job that is held."""
        for row in self.store.step(WORKER, (), [ClaimRequest(limit, lease=LEASE)]).claimed:
            job = self.jobs[row.id]
            assert not job.held, f"held job {row.id.hex()} was claimed"
            assert job.due <= self.clock.now()
            job.state = JobState.RUNNING
            self.running[row.id] = row

    @rule(data=st.data(), ending=st.sampled_from(sorted(ENDINGS)))
    def finish(self, data: st.DataObject, ending: str) -> None:
        """End a job that runs."""
        if not self.running:
            return
        id = data.draw(st.sampled_from(sorted(self.running)))
        outcome = ENDINGS[ending](self.running.pop(id))
        answer = self.store.step(WORKER, [outcome], ())
        assert not answer.lost
        job = self.jobs[id]
        stopped = job.state is JobState.CANCELLING and outcome.state is JobState.PENDING
        job.state = JobState.CANCELLED if stopped else outcome.state
        self._act(id)
        if outcome.retention == 0 and not stopped:
            del self.jobs[id]

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel any job."""
        for id in self._any(data):
            self.store.cancel([id], CANCELLABLE, retention=None)
            job = self.jobs[id]
            if job.state is JobState.RUNNING:
                job.state = JobState.CANCELLING
            elif job.state in CANCELLABLE:
                self._end(id, JobState.CANCELLED)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Retry any job: it waits for nobody any more."""
        for id in self._any(data):
            self.store.retry([id], RETRYABLE)
            job = self.jobs[id]
            if job.state in RETRYABLE:
                job.state, job.due, job.held = JobState.PENDING, self.clock.now(), False

    @rule(data=st.data())
    def reschedule(self, data: st.DataObject) -> None:
        """Give any job a time of its own."""
        for id in self._any(data):
            self.store.reschedule([id], RESCHEDULABLE, due=self.clock.now())
            job = self.jobs[id]
            if job.state in RESCHEDULABLE:
                job.state, job.due, job.held = JobState.PENDING, self.clock.now(), False

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete any job that does not run; to those who wait for it, it is cancelled unless it had ended."""
        for id in self._any(data):
            self.store.delete([id], DELETABLE)
            job = self.jobs[id]
            if job.state in DELETABLE:
                if job.state not in FINAL:
                    self._end(id, JobState.CANCELLED)
                del self.jobs[id]

    # -- what must hold after every rule

    @invariant()
    def every_job_is_as_the_model_has_it(self) -> None:
        """Compare states, times, and for whom the held ones wait."""
        self.follower.settle()
        now = self.clock.now()
        rows = dict(zip(self.jobs, self.store.get(list(self.jobs)), strict=True))
        for id, job in self.jobs.items():
            row = rows[id]
            assert row is not None, f"job {id.hex()} is lost"
            if row.state is JobState.PENDING and job.state is JobState.SCHEDULED and job.due <= now:
                job.state = JobState.PENDING  # promoted by the store
            held = row.state is JobState.SCHEDULED and is_held(row)
            assert (row.state, held) == (job.state, job.held), f"job {id.hex()} differs"
            if not held and job.state in {JobState.SCHEDULED, JobState.PENDING}:
                assert row.due == job.due, f"job {id.hex()} is due at another time"
        waiting = [id for id, job in self.jobs.items() if job.held]
        told = self.follower.open_parents(waiting)
        assert told == [tuple(sorted(self.jobs[id].waits)) for id in waiting]
        assert sum(self.store.counts().values()) == len(self.jobs)

    # -- the steps that rules share

    def _any(self, data: st.DataObject) -> list[bytes]:
        return self._some(data, 1) if self.jobs else []

    def _some(self, data: st.DataObject, number: int) -> list[bytes]:
        return data.draw(st.lists(st.sampled_from(sorted(self.jobs)), min_size=min(number, 1), max_size=number))

    def _end(self, id: bytes, state: JobState) -> None:
        job = self.jobs[id]
        job.state, job.held = state, False
        self._act(id)

    def _act(self, parent: bytes, only: bytes | None = None) -> None:
        """Let a parent that has ended act on those who wait for it."""
        state = self.jobs[parent].state
        if state not in FINAL:
            return
        for id, job in list(self.jobs.items()):
            if not job.held or parent not in job.waits or only not in {None, id}:
                continue
            if state is JobState.COMPLETED or job.on_parent == "run":
                job.waits.discard(parent)
                if not job.waits:
                    job.held = False
                    job.due = max(self.clock.now(), job.created + job.delay)
                    job.state = JobState.PENDING if job.due <= self.clock.now() else JobState.SCHEDULED
            elif job.on_parent == "cancel":
                job.waits.clear()
                self._end(id, JobState.CANCELLED)
