"""The state machine: random lives of jobs on a real store, compared with the model after every rule.

Plain random rules miss the deep faults (a rescuer that works from a stale look needs a claim, an expiry, a rescue and
a second claim in a row), so whole fault sequences are rules too: crash cycles, failure cycles, the late finish against
the rescuer. Leases and retentions end on half seconds and time moves in whole ones, so that "until" and "until and
including" cannot be told apart and stay the store's own choice.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from millrace.clock import SECOND
from millrace.conformance.model import Model, ModelJob
from millrace.groups import Group, encode_group
from millrace.ids import new_id
from millrace.job import JobRow
from millrace.messages import Beat, ClaimRequest, Conflict, NewRow, QueueSettings
from millrace.outcome import Outcome, error_record
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE, WAITING, JobState, Reason
from millrace.store import Store
from millrace.testing.clock import ManualClock

__all__ = ["StoreMachine"]

LEASE = 10 * SECOND + SECOND // 2
KEPT = 30 * SECOND + SECOND // 2
START = 1_800_000_000 * SECOND

Held = tuple[int, JobRow]
Keyed = tuple[str | None, bytes | None, Conflict]  #: a key, the options that say how long it is held, and a policy
_UNTIL = (None, b'{"until":"started"}', b'{"until":20.5}')  # on half seconds, as are leases and retentions
_POLICIES: tuple[Conflict, ...] = ("return", "replace", "debounce")
_PLAIN: Keyed = (None, None, "return")
KEYS: list[Keyed] = [
    *[_PLAIN] * 18,
    *[(key, options, policy) for key in ("k1", "k2") for options in _UNTIL for policy in _POLICIES],
]
queue_names = st.sampled_from(["alpha", "beta"])
task_names = st.sampled_from(["read", "write"])
workers = st.sampled_from([11, 22])
error = error_record("Broken: as asked")
GROUPS = [encode_group(Group(limit=1, limit_key="a")), encode_group(Group(limit=2, limit_key="b"))]

#: What a handler may come to, each as a way to make the outcome of one claimed job.
ENDINGS: dict[str, Callable[[JobRow], Outcome]] = {
    "completed": lambda row: Outcome.completed(row, b"1", retention=KEPT),
    "completed and forgotten": lambda row: Outcome.completed(row, None, retention=0),
    "failed": lambda row: Outcome.failed(row, error, delay=3 * SECOND, retention=KEPT),
    "failed, due at once": lambda row: Outcome.failed(row, error, delay=0, retention=KEPT),
    "dead": lambda row: Outcome.dead(row, error, reason=Reason.EXHAUSTED, retention=None),
    "cancelled": lambda row: Outcome.cancelled(row, None, retention=KEPT),
    "snoozed": lambda row: Outcome.snoozed(row, delay=4 * SECOND, retention=KEPT),
    "released": lambda row: Outcome.released(row, retention=KEPT),
    "returned": lambda row: Outcome.returned(row, retention=KEPT),
}


class StoreMachine(RuleBasedStateMachine):
    """Subclass it with a `make_store`, and run its `TestCase`.

    >>> from millrace.stores import MemoryStore
    >>> class Machine(StoreMachine):
    ...     def make_store(self, clock):
    ...         return MemoryStore(clock=clock)
    """

    held = Bundle("held")

    @abstractmethod
    def make_store(self, clock: ManualClock) -> Store:
        """Make an empty store on a clock that the machine moves."""

    @initialize()
    def begin(self) -> None:
        """Start empty."""
        self.clock = ManualClock(START)
        self.store = self.make_store(self.clock)
        self.model = Model(START)
        self.revs: dict[bytes, tuple[int, object]] = {}
        self.inserted = 0

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    # -- rules: one verb each

    @rule(
        queue=queue_names,
        task=task_names,
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 0, 2, 5]),
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3),
        crashes=st.integers(1, 3),
    )
    def insert(self, queue: str, task: str, priority: int, delay: int, keys: list[Keyed], crashes: int) -> None:
        """Insert some jobs, some of them keyed, their keys held for one time or another."""
        self.inserted += 1
        rows = [
            NewRow(
                id=new_id(), task=task, queue=queue, args=b"[%d,%d]" % (self.inserted, n), priority=priority,
                delay=delay * SECOND, max_attempts=3, max_crashes=crashes, unique_key=key, options=options,
                on_conflict=policy,
            )
            for n, (key, options, policy) in enumerate(keys)
        ]  # fmt: skip
        expected = {n: there.id for n, row in enumerate(rows) if (there := self.model.insert(row))}
        answer = self.store.insert(rows)
        assert expected == {n: existing.row.id for n, existing in answer.existing.items()}

    @rule(
        queue=queue_names,
        priority=st.integers(0, 1),
        delay=st.sampled_from([0, 0, 2]),
        groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=4),
    )
    def insert_limited(self, queue: str, priority: int, delay: int, groups: list[str]) -> None:
        """Insert some jobs of keys that are limited."""
        rows = [
            NewRow(new_id(), "read", queue, b"{}", priority, delay * SECOND, max_attempts=3, group=group)
            for group in groups
        ]
        assert [self.model.insert(row) for row in rows] == [None] * len(rows)
        assert not self.store.insert(rows).existing

    @rule(seconds=st.sampled_from([1, 1, 2, 6, 11, 31]))
    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.model.now += seconds * SECOND

    @rule(
        target=held,
        worker=workers,
        limit=st.integers(1, 4),
        queues=st.sampled_from([None, None, ("alpha",), ("beta", "alpha")]),
        tasks=st.sampled_from([None, None, frozenset({"read"})]),
    )
    def claim(
        self, worker: int, limit: int, queues: tuple[str, ...] | None, tasks: frozenset[str] | None
    ) -> MultipleResults[Held]:
        """Claim, and keep what was given."""
        return multiple(*self._claim(worker, ClaimRequest(limit, queues, tasks, lease=LEASE)))

    @rule(some=st.lists(held, min_size=1, max_size=4), ending=st.sampled_from(sorted(ENDINGS)))
    def finish(self, some: list[Held], ending: str) -> None:
        """Finish jobs that are held, or were once."""
        for worker in (11, 22):
            mine = [row for by, row in some if by == worker]
            unlike = {row.id: row for row in mine}.values()  # one outcome a job in a step, as a worker sends them
            self._finish(worker, [ENDINGS[ending](row) for row in unlike])

    @rule(some=st.lists(held, min_size=1, max_size=4, unique_by=lambda held: held[1].id))
    def extend(self, some: list[Held]) -> None:
        """Beat for jobs that are held, or were once."""
        for worker in (11, 22):
            rows = [row for by, row in some if by == worker]
            states: list[JobState | None] = []
            for row in rows:
                job = self.model.holds(worker, row.id, row.claim)
                states.append(None if job is None else job.state)
                if job is not None:
                    job.lease = self.model.now + LEASE
            beats = [Beat(row.ref, row.id, row.claim, LEASE) for row in rows]
            assert states == self.store.extend(worker, beats)

    @rule()
    def rescue(self) -> None:
        """Take back lost leases."""
        self._rescue()

    @rule()
    def promote(self) -> None:
        """Promote what is due."""
        waiting = sum(job.state in WAITING and job.due <= self.model.now for job in self.model.jobs.values())
        assert self.store.promote() <= waiting
        self.model.promote()

    @rule()
    def expire(self) -> None:
        """Delete what is past its retention."""
        assert self.model.expire() == self.store.expire()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel any job."""
        if id := self._any(data):
            (changed,) = self.store.cancel([id], CANCELLABLE, retention=None)
            self._promoted_by_the_store(id)
            assert self.model.cancel(id, CANCELLABLE) == changed.changed

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Retry any job."""
        if id := self._any(data):
            before = self.model.jobs[id]
            holder = self.model.holder(before.unique_key)
            (changed,) = self.store.retry([id], RETRYABLE)
            assert self.model.retry(id, RETRYABLE) == changed.changed
            if not changed.changed and before.state in RETRYABLE:
                assert holder is not None
                assert changed.holder is not None
                assert holder.id == changed.holder.id

    @rule(data=st.data(), ahead=st.sampled_from([-3, 0, 4]))
    def reschedule(self, data: st.DataObject, ahead: int) -> None:
        """Reschedule any job."""
        if id := self._any(data):
            due = self.model.now + ahead * SECOND
            (changed,) = self.store.reschedule([id], RESCHEDULABLE, due=due)
            assert self.model.reschedule(id, RESCHEDULABLE, due) == changed.changed

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete any job."""
        if id := self._any(data):
            (changed,) = self.store.delete([id], DELETABLE)
            assert self.model.delete(id, DELETABLE) == changed.changed

    @rule(queue=queue_names, paused=st.booleans())
    def pause(self, queue: str, *, paused: bool) -> None:
        """Pause or resume a queue."""
        self.store.pause(queue, paused=paused)
        self.model.queue(queue).paused = paused

    @rule(queue=queue_names, priority=st.integers(0, 1), concurrency=st.sampled_from([None, 1, 2]))
    def set_queue(self, queue: str, priority: int, concurrency: int | None) -> None:
        """Change a queue's settings."""
        self.store.set_queue(queue, QueueSettings(priority=priority, concurrency=concurrency))
        settings = self.model.queue(queue)
        settings.priority, settings.concurrency = priority, concurrency

    # -- composite rules: whole fault sequences

    @rule(target=held, worker=workers, times=st.integers(1, 4))
    def crash_cycle(self, worker: int, times: int) -> MultipleResults[Held]:
        """A worker claims and dies, again and again."""
        gone: list[Held] = []
        for _ in range(times):
            gone += self._claim(worker, ClaimRequest(2, lease=LEASE))
            self.advance(11)
            self._rescue()
        return multiple(*gone)

    @rule(worker=workers, times=st.integers(1, 4))
    def failure_cycle(self, worker: int, times: int) -> None:
        """Every attempt fails until the tries are used up."""
        for _ in range(times):
            rows = [row for _, row in self._claim(worker, ClaimRequest(3, lease=LEASE))]
            spent = [ENDINGS["dead" if row.attempt >= row.max_attempts else "failed"](row) for row in rows]
            self._finish(worker, spent)
            self.advance(6)

    @rule(target=held, cancels=st.booleans(), ending=st.sampled_from(sorted(ENDINGS)))
    def late_finish_against_rescuer(self, *, cancels: bool, ending: str) -> MultipleResults[Held]:
        """One worker stalls past its lease, another takes over, the first comes back and reports."""
        first = self._claim(11, ClaimRequest(2, lease=LEASE))
        self.advance(11)
        self._rescue()
        second = self._claim(22, ClaimRequest(2, lease=LEASE))
        if cancels and second:
            id = second[0][1].id
            self.model.cancel(id, CANCELLABLE)
            self.store.cancel([id], CANCELLABLE, retention=None)
        self._finish(11, [ENDINGS[ending](row) for _, row in first])
        return multiple(*second)

    @rule(target=held, ending=st.sampled_from(sorted(ENDINGS)))
    def look_then_rescue(self, ending: str) -> MultipleResults[Held]:
        """A lease passes, its worker finishes all the same, and only then the rescuer comes."""
        first = self._claim(11, ClaimRequest(2, lease=LEASE))
        self.advance(11)
        self.store.cancelling(11)
        self._finish(11, [ENDINGS[ending](row) for _, row in first])
        self._rescue()
        return multiple(*first)

    # -- what must hold after every rule

    @invariant()
    def every_job_is_as_the_model_has_it(self) -> None:
        """Compare each job, its history and its change counter."""
        ids = list(self.model.jobs)
        for id, row in zip(ids, self.store.get(ids), strict=True):
            assert row is not None, f"job {id.hex()} is lost"
            self._promoted_by_the_store(id, row)
            job = self.model.jobs[id]
            assert _told(job) == _shown(row), f"job {id.hex()} differs"
            assert self.model.attempts(job) == [attempt.outcome for attempt in self.store.attempts(id)]
            now = (row.state, row.claim, row.lease, row.args)
            rev, before = self.revs.get(id, (-1, None))
            assert row.rev > rev if before != now else row.rev >= rev, f"job {id.hex()} changed without its rev"
            self.revs[id] = (row.rev, now)

    @invariant()
    def the_counts_add_up(self) -> None:
        """Compare what the store counts with a recount."""
        jobs = self.model.jobs.values()
        assert {state: sum(job.state is state for job in jobs) for state in JobState} == self.store.counts()
        due = sum(job.state is JobState.PENDING or (job.state in WAITING and job.due <= self.model.now) for job in jobs)
        assert due == self.store.depth()
        assert min((job.due for job in jobs if job.state in WAITING), default=None) == self.store.next_due()

    # -- the steps that rules share

    def _any(self, data: st.DataObject) -> bytes | None:
        ids = sorted(self.model.jobs)
        return data.draw(st.sampled_from(ids)) if ids else None

    def _promoted_by_the_store(self, id: bytes, row: JobRow | None = None) -> None:
        """Follow the store where it has promoted a due job earlier than it must."""
        job = self.model.jobs[id]
        if job.state in WAITING and job.due <= self.model.now:
            row = row or self.store.get([id])[0]
            if row is not None and row.state is JobState.PENDING:
                job.state = JobState.PENDING

    def _claim(self, worker: int, request: ClaimRequest) -> list[Held]:
        heads = self.model.claimable(request)
        rows = self.store.step(worker, (), [request]).claimed
        total = min(request.limit, sum(map(len, heads.values())))
        assert total == len(rows), f"{len(rows)} claimed where {total} could be"
        for name, jobs in heads.items():
            given = [row.id for row in rows if row.queue == name]
            assert [job.id for job in jobs[: len(given)]] == given, f"queue {name} was claimed out of order"
        self._check_queue_priorities(heads, rows)
        for row in rows:
            job = self.model.jobs[row.id]
            self.model.claim(job, worker, request.lease)
            assert (job.attempt, job.claim) == (row.attempt, row.claim)
        return [(worker, row) for row in rows]

    def _check_queue_priorities(self, heads: dict[str, list[ModelJob]], rows: Sequence[JobRow]) -> None:
        for low in {row.queue for row in rows}:
            for high, jobs in heads.items():
                if self.model.queue(high).priority > self.model.queue(low).priority:
                    assert len(jobs) == sum(row.queue == high for row in rows), f"{low} was served before {high}"

    def _finish(self, worker: int, outcomes: list[Outcome]) -> None:
        answer = self.store.step(worker, outcomes, ())
        for n, outcome in enumerate(outcomes):
            state = self.model.finish(worker, outcome)
            assert (state is None) == (n in answer.lost)
            if state is not None:
                assert state == answer.resulting.get(n, outcome.state)

    def _rescue(self) -> None:
        rescued = self.store.rescue(retention=None, dead_retention=None)
        assert sorted(self.model.rescue()) == sorted(each.id for each in rescued)
        for each in rescued:
            assert self.model.jobs[each.id].state == each.state


def _told(job: ModelJob) -> tuple[object, ...]:
    waits = job.state in WAITING or job.state is JobState.PENDING
    due = job.due if waits else None
    return (job.state, job.attempt, job.claim, job.crashes, job.lease, job.expires, due, job.args)


def _shown(row: JobRow) -> tuple[object, ...]:
    waits = row.state in WAITING or row.state is JobState.PENDING
    due = row.due if waits else None
    return (row.state, row.attempt, row.claim, row.crashes, row.lease, row.expires, due, row.args)
