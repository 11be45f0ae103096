"""A store as a dictionary: the oracle of the state machine. Owns what each verb must do to one job, in plain code.

It has no indexes, no locks and no leases that end by themselves; the machine in `machine.py` moves its clock and
compares every job after every rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from millrace.groups import Group, read_group
from millrace.holding import STARTED, Scope, scope_of
from millrace.messages import ClaimRequest, NewRow
from millrace.outcome import Outcome
from millrace.states import ACTIVE, FINAL, LIVE, RESCHEDULABLE, WAITING, JobState, OutcomeKind

__all__ = ["Model", "ModelJob"]

_GIVES_WAY_TO_CANCEL = frozenset({JobState.FAILED, JobState.SCHEDULED, JobState.PENDING})


@dataclass
class ModelJob:
    """What the model knows of one job."""

    id: bytes
    task: str
    queue: str
    priority: int
    due: int
    state: JobState
    max_attempts: int
    max_crashes: int
    unique_key: str | None
    args: bytes
    created: int
    scope: Scope
    group: Group | None = None
    started: bool = False  #: since its insert, or since it was retried
    attempt: int = 0
    claim: int = 0
    crashes: int = 0
    worker: int | None = None
    lease: int | None = None
    expires: int | None = None
    history: list[OutcomeKind] = field(default_factory=list[OutcomeKind])

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """Its place within its queue."""
        return (-self.priority, self.due, self.id)


@dataclass
class ModelQueue:
    """What the model knows of one queue."""

    priority: int = 0
    paused: bool = False
    concurrency: int | None = None


class Model:
    """All jobs and queues, and the time, in microseconds."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.jobs: dict[bytes, ModelJob] = {}
        self.queues: dict[str, ModelQueue] = {}

    def queue(self, name: str) -> ModelQueue:
        """Return a queue, known or new."""
        return self.queues.setdefault(name, ModelQueue())

    def holder(self, key: str | None) -> ModelJob | None:
        """Return the job that holds a unique key."""
        if key is None:
            return None
        return next((job for job in self.jobs.values() if job.unique_key == key and self._holds(job)), None)

    def _holds(self, job: ModelJob) -> bool:
        if job.scope is None:
            return job.state in LIVE
        if job.scope == STARTED:
            return job.state in LIVE and not job.started
        return self.now < job.created + job.scope

    def insert(self, row: NewRow) -> ModelJob | None:
        """Insert a job; return what stood in its way."""
        due = self.now + row.delay if row.due is None else row.due
        state = JobState.PENDING if due <= self.now else JobState.SCHEDULED
        there = self.jobs.get(row.id) or self.holder(row.unique_key)
        if there is not None:
            if row.on_conflict != "return" and there.state in RESCHEDULABLE:
                there.args = row.args
                if row.on_conflict == "debounce":
                    there.due, there.state = due, state
            return there
        self.jobs[row.id] = ModelJob(
            row.id, row.task, row.queue, row.priority, due, state, row.max_attempts, row.max_crashes, row.unique_key,
            row.args, self.now, scope_of(row.options),
            None if row.group is None else read_group(row.group),
        )  # fmt: skip
        return None

    def promote(self) -> None:
        """Make pending what is due."""
        for job in self.jobs.values():
            if job.state in WAITING and job.due <= self.now:
                job.state = JobState.PENDING

    def claimable(self, request: ClaimRequest) -> dict[str, list[ModelJob]]:
        """Return, by queue and in order, what a claim could be given, each queue cut to its room."""
        self.promote()
        heads: dict[str, list[ModelJob]] = {}
        live: dict[tuple[str, str, str], int] = {}
        for job in sorted(self.jobs.values(), key=lambda job: job.rank):
            if job.state is not JobState.PENDING or not _asked_for(job, request) or self.queue(job.queue).paused:
                continue
            if job.group is not None and job.group.limit is not None:
                counter = job.queue, job.task, job.group.limit_key
                if counter not in live:
                    live[counter] = self.live(*counter)
                if live[counter] >= job.group.limit:
                    continue
                live[counter] += 1
            heads.setdefault(job.queue, []).append(job)
        for name, jobs in heads.items():
            limit = self.queue(name).concurrency
            if limit is not None:
                del jobs[max(limit - self.active(name), 0) :]
        return {name: jobs for name, jobs in heads.items() if jobs}

    def active(self, queue: str) -> int:
        """Count the queue's running jobs."""
        return sum(job.queue == queue and job.state in ACTIVE for job in self.jobs.values())

    def live(self, queue: str, task: str, key: str) -> int:
        """Count the running jobs of a limited key."""
        return sum(
            (job.queue, job.task) == (queue, task)
            and job.group is not None
            and (job.group.limit is not None and job.group.limit_key == key)
            and job.state in ACTIVE
            for job in self.jobs.values()
        )

    def claim(self, job: ModelJob, worker: int, lease: int) -> None:
        """Give a job to a worker."""
        job.state, job.worker, job.lease, job.started = JobState.RUNNING, worker, self.now + lease, True
        job.claim += 1
        job.attempt += 1

    def holds(self, worker: int, id: bytes, claim: int) -> ModelJob | None:
        """Return the job if this claim of this worker is still good: the fence."""
        job = self.jobs.get(id)
        good = job is not None and job.state in ACTIVE and job.claim == claim and job.worker == worker
        return job if good else None

    def finish(self, worker: int, outcome: Outcome) -> JobState | None:
        """Write an outcome; return the state that results, None where the claim was lost."""
        job = self.holds(worker, outcome.id, outcome.claim)
        if job is None:
            return None
        cancelled = job.state is JobState.CANCELLING and outcome.state in _GIVES_WAY_TO_CANCEL
        job.state = JobState.CANCELLED if cancelled else outcome.state
        job.lease = None
        if not outcome.keeps_try:
            job.attempt -= 1
        if outcome.delay is not None:
            job.due = self.now + outcome.delay
        if outcome.recorded and outcome.kind is not OutcomeKind.COMPLETED:
            job.history.append(outcome.kind)
        if job.state in FINAL:
            self._end(job, outcome.cancelled_retention if cancelled else outcome.retention)
        return job.state

    def _end(self, job: ModelJob, retention: int | None) -> None:
        if retention == 0:
            del self.jobs[job.id]
        else:
            job.expires = None if retention is None else self.now + retention

    def rescue(self) -> list[bytes]:
        """Take back every lease that has passed; return whose."""
        lost = [job for job in self.jobs.values() if job.lease is not None and job.lease < self.now]
        for job in lost:
            job.crashes += 1
            job.attempt -= 1
            job.lease = None
            job.history.append(OutcomeKind.LEASE_LOST)
            if job.state is JobState.CANCELLING:
                job.state = JobState.CANCELLED
            elif job.crashes >= job.max_crashes:
                job.state = JobState.DEAD
            else:
                job.state = JobState.PENDING
        return [job.id for job in lost]

    def cancel(self, id: bytes, states: Iterable[JobState]) -> bool:
        """Cancel a job; tell whether it changed."""
        job = self.jobs.get(id)
        if job is None or job.state not in states:
            return False
        job.state = JobState.CANCELLING if job.state is JobState.RUNNING else JobState.CANCELLED
        return True

    def retry(self, id: bytes, states: Iterable[JobState]) -> bool:
        """Retry a job; tell whether it changed."""
        job = self.jobs.get(id)
        if job is None or job.state not in states:
            return False
        holder = self.holder(job.unique_key)
        if holder is not None and holder is not job:
            return False
        if job.state is JobState.COMPLETED:
            job.history.append(OutcomeKind.COMPLETED)
        job.state, job.due, job.attempt, job.crashes, job.expires = JobState.PENDING, self.now, 0, 0, None
        job.started = False
        return True

    def reschedule(self, id: bytes, states: Iterable[JobState], due: int) -> bool:
        """Move a job's due time; tell whether it changed."""
        job = self.jobs.get(id)
        if job is None or job.state not in states:
            return False
        job.due = due
        job.state = JobState.PENDING if due <= self.now else JobState.SCHEDULED
        return True

    def delete(self, id: bytes, states: Iterable[JobState]) -> bool:
        """Delete a job; tell whether it was there to delete."""
        job = self.jobs.get(id)
        if job is None or job.state not in states:
            return False
        del self.jobs[id]
        return True

    def expire(self) -> int:
        """Delete what is past its retention; return how many."""
        over = [job.id for job in self.jobs.values() if job.expires is not None and job.expires < self.now]
        for id in over:
            del self.jobs[id]
        return len(over)

    def attempts(self, job: ModelJob) -> Sequence[OutcomeKind]:
        """Return how a job's attempts ended, the success that its row tells included."""
        return [*job.history, OutcomeKind.COMPLETED] if job.state is JobState.COMPLETED else job.history


def _asked_for(job: ModelJob, request: ClaimRequest) -> bool:
    return (request.queues is None or job.queue in request.queues) and (
        request.tasks is None or job.task in request.tasks
    )
