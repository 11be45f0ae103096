"""The memory store's verbs. Owns locking and waking; what a verb does stands in the files of its noun.

Every verb runs whole under one lock, so it is atomic and seen whole, and watchers are called after the lock is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millrace.job import HELD, JobRow
from millrace.messages import (
    CHANGES,
    Beat,
    Changed,
    ClaimRequest,
    Finding,
    InsertAnswer,
    JobFilter,
    NewRow,
    QueueSettings,
    Rescued,
    StepAnswer,
    Waiting,
)
from millrace.outcome import Outcome
from millrace.records import AttemptRow, LogRow, QueueInfo, WorkerRow
from millrace.states import JobState
from millrace.store import MAX_PAGE, Subscription
from millrace.stores.memory import attempts, changing, reading, transfer
from millrace.stores.memory.base import at_of
from millrace.stores.memory.claiming import promote
from millrace.stores.memory.follow import settle
from millrace.stores.memory.following import Follower
from millrace.stores.memory.memory import Memory
from millrace.stores.memory.scheduler import Scheduler
from millrace.transfer import Restored, WholeJob

__all__ = ["MemoryStore"]


class MemoryStore(Scheduler, Follower):
    """A store whose jobs live in this process and end with it: for tests, scripts and trying things out.

    Args:
        name: Stores of one name in a process are one store, which lives until the last of them is closed. None: a
            store of its own.
        clock: Gives the time; None is the host's clock.

    A child made by `os.fork` begins with an empty store. Writing in a caller's transaction is not offered.

    Raises:
        ConfigurationError: A store of that name is open with another clock.

    >>> store = MemoryStore()
    >>> store.url, store.depth()
    ('memory://', 0)
    """

    parallel_steps = 1

    def now(self) -> int:
        """Return the store's time in microseconds; never steps back."""
        with self._whole() as memory:
            return memory.now()

    def migrate(self) -> list[str]:
        """Do nothing: there is no schema."""
        with self._whole():
            return []

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none."""
        with self._whole() as memory:
            answer = changing.insert(memory.shelf, rows, at_of(memory, now))
        existing = answer.existing
        changes = any(rows[place].on_conflict in CHANGES for place in existing)
        if answer.refused is None and (changes or len(existing) < len(rows)):
            memory.changed()
        return answer

    # -- working

    def step(
        self,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        now: int | None = None,
    ) -> StepAnswer:
        """Finish attempts and claim more, as one whole."""
        lost: set[int] = set()
        resulting: dict[int, JobState] = {}
        claimed: list[JobRow] = []
        with self._whole() as memory:
            at = at_of(memory, now)
            for index, outcome in enumerate(outcomes):
                state = attempts.finish(memory.shelf, worker, outcome, at)
                if state is None:
                    lost.add(index)
                elif state is not outcome.state:
                    resulting[index] = state
            settle(memory.shelf, at)
            if claims:
                promote(memory.shelf, at)
            rooms: list[int] = []
            for request in claims:
                claimed += memory.claims.claim(worker, request, at)
                if memory.claims.room_at is not None:
                    rooms.append(memory.claims.room_at)
        if len(lost) < len(outcomes):
            memory.changed()
        return StepAnswer(at, claimed, frozenset(lost), resulting, min(rooms, default=None) if claims else None)

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost."""
        with self._whole() as memory:
            at = at_of(memory, now)
            states = [attempts.extend(memory.shelf, worker, beat, at) for beat in beats]
        if any(beat.progress is not None or beat.result is not None for beat in beats):
            memory.changed()
        return states

    def cancelling(self, worker: int) -> list[tuple[bytes, int]]:
        """Return (id, claim) of the worker's jobs that were asked to cancel."""
        with self._whole() as memory:
            return [
                (entry.id, entry.claim)
                for entry in memory.shelf.leases
                if entry.state is JobState.CANCELLING and entry.worker == worker
            ]

    def log(self, worker: int, lines: Sequence[LogRow]) -> list[bool]:
        """Store log lines, fenced; answer for each whether it was kept."""
        with self._whole() as memory:
            kept = attempts.add_logs(memory.shelf, worker, lines)
        if any(kept):
            memory.changed()
        return kept

    def rescue(
        self,
        *,
        retention: int | None,
        dead_retention: int | None,
        limit: int = 500,
        now: int | None = None,
    ) -> list[Rescued]:
        """Take back leases that have passed."""
        with self._whole() as memory:
            at = at_of(memory, now)
            rescued = attempts.rescue(
                memory.shelf, retention=retention, dead_retention=dead_retention, limit=limit, now=at
            )
            settle(memory.shelf, at)
        if rescued:
            memory.changed()
        return rescued

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending; return how many."""
        with self._whole() as memory:
            promoted = promote(memory.shelf, at_of(memory, now), limit)
        if promoted:
            memory.changed()
        return promoted

    def next_due(self) -> int | None:
        """Return when the next scheduled or failed job is due, None where there is none."""
        with self._whole() as memory:
            first = memory.shelf.waiting.first
            return None if first is None or first[0] >= HELD else first[0]

    # -- changing jobs

    def cancel(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        retention: int | None,
        now: int | None = None,
    ) -> list[Changed]:
        """Cancel: a running job becomes cancelling, any other cancelled."""
        with self._whole() as memory:
            at = at_of(memory, now)
            answers = changing.cancel(memory.shelf, ids, states, retention=retention, now=at)
            settle(memory.shelf, at)
        return _told(memory, answers)

    def retry(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        args: bytes | None = None,
        now: int | None = None,
    ) -> list[Changed]:
        """Make jobs pending and due now, as if they had just been enqueued."""
        with self._whole() as memory:
            answers = changing.retry(memory.shelf, ids, states, args=args, now=at_of(memory, now))
        return _told(memory, answers)

    def reschedule(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        due: int,
        now: int | None = None,
    ) -> list[Changed]:
        """Move the due time; due ones are pending, others scheduled."""
        with self._whole() as memory:
            answers = changing.reschedule(memory.shelf, ids, states, due=due, now=at_of(memory, now))
        return _told(memory, answers)

    def delete(self, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
        """Delete jobs with all that belongs to them."""
        with self._whole() as memory:
            answers = changing.delete(memory.shelf, ids, states)
            settle(memory.shelf, memory.now())
        return _told(memory, answers)

    # -- reading

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        with self._whole() as memory:
            found = [memory.shelf.jobs.get(id) for id in ids]
            return [None if entry is None else entry.row() for entry in found]

    def page(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[JobRow], str | None]:
        """Read one page, newest first, and the cursor of the next. It walks past the jobs that do not match."""
        with self._whole() as memory:
            found, following = reading.find_page(memory.shelf, where, min(limit, MAX_PAGE), cursor)
            return [entry.row() for entry in found], following

    def select(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[bytes], str | None]:
        """Read only the ids of such a page."""
        with self._whole() as memory:
            found, following = reading.find_page(memory.shelf, where, min(limit, MAX_PAGE), cursor)
            return [entry.id for entry in found], following

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:  # noqa: ARG002
        """Count jobs by state, all eight named; always exact."""
        with self._whole() as memory:
            return reading.count_by_state(memory.shelf, queue)

    def depth(self, queue: str | None = None, *, now: int | None = None) -> int:
        """Count what waits for a worker: pending, and due but not yet promoted; paused queues too."""
        with self._whole() as memory:
            return reading.count_waiting(memory.shelf, queue, at_of(memory, now))

    def waiting(self, *, now: int | None = None) -> list[Waiting]:
        """Tell what `depth` counts by queue and task, and since when the oldest is due."""
        with self._whole() as memory:
            return reading.tell_waiting(memory.shelf, at_of(memory, now))

    def attempts(self, id: bytes) -> list[AttemptRow]:
        """Read a job's ended attempts, oldest first."""
        with self._whole() as memory:
            entry = memory.shelf.jobs.get(id)
            return [] if entry is None else entry.attempts()

    def logs(self, id: bytes) -> list[LogRow]:
        """Read a job's log lines, oldest first."""
        with self._whole() as memory:
            entry = memory.shelf.jobs.get(id)
            return [] if entry is None or entry.logs is None else list(entry.logs)

    def exists(self) -> bool:
        """Say that it is there."""
        self._open()
        return True

    def export(self, *, limit: int, cursor: str | None = None) -> tuple[list[WholeJob], str | None]:
        """Read one page of whole jobs, oldest first, and the cursor of the next."""
        with self._whole() as memory:
            return transfer.export(memory.shelf, limit, cursor)

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        """Insert whole jobs as they are; tell which were left out."""
        with self._whole() as memory:
            answer = transfer.restore(memory.shelf, jobs, memory.now())
        if len(answer.there) + len(answer.held) < len(jobs):
            memory.changed()
        return answer

    # -- queues, retention, register, locks

    def queues(self) -> list[QueueInfo]:
        """Read every queue that has settings or jobs, by name, with its counts."""
        with self._whole() as memory:
            return reading.read_queues(memory.shelf, memory.rules)

    def set_queue(self, name: str, settings: QueueSettings) -> None:
        """Write a queue's settings."""
        with self._whole() as memory:
            memory.rules.write(name, settings)
        memory.changed()

    def pause(self, name: str, *, paused: bool) -> None:
        """Pause or resume a queue, whether it is known yet or not."""
        with self._whole() as memory:
            memory.rules.pause(name, paused=paused)
        memory.changed()

    def expire(self, *, limit: int = 500, now: int | None = None) -> int:
        """Delete jobs whose retention has passed; return how many."""
        with self._whole() as memory:
            return changing.expire(memory.shelf, limit, at_of(memory, now))

    def purge(self, finished_before: int, states: frozenset[JobState], *, limit: int = 500) -> int:
        """Delete ended jobs in `states` that finished before a time; return how many, at most `limit`."""
        with self._whole() as memory:
            return changing.purge(memory.shelf, finished_before, states, limit)

    def register(self, worker: WorkerRow) -> None:
        """Write a worker's entry, new or known."""
        with self._whole() as memory:
            memory.register.write(worker, memory.now())

    def unregister(self, worker: int) -> None:
        """Delete a worker's entry."""
        with self._whole() as memory:
            memory.register.remove(worker)

    def workers(self, *, seen_after: int | None = None) -> list[WorkerRow]:
        """Read the register, oldest first."""
        with self._whole() as memory:
            return memory.register.read(seen_after)

    def forget_workers(self, seen_before: int) -> int:
        """Delete entries not seen since a time; return how many."""
        with self._whole() as memory:
            return memory.register.forget(seen_before)

    def acquire(self, lock: str, holder: int, ttl: int, *, now: int | None = None) -> bool:
        """Take or keep a named lock for `ttl` microseconds; False where another holds it."""
        with self._whole() as memory:
            at = at_of(memory, now)
            return memory.locks.acquire(lock, holder, at + ttl, at)

    def release(self, lock: str, holder: int) -> None:
        """Give a named lock back, if it is still the holder's."""
        with self._whole() as memory:
            memory.locks.release(lock, holder)

    # -- hints and health

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back, in the thread that made the change, after jobs may have become claimable or changed."""
        return self._open().watch(on_change)

    def check(self) -> list[Finding]:
        """Say that nothing here outlives the process."""
        with self._whole() as memory:
            jobs = len(memory.shelf.jobs)
        return [Finding("note", "memory", f"{jobs} jobs are kept in this process only, and end with it")]


def _told(memory: Memory, answers: list[Changed]) -> list[Changed]:
    if any(answer.changed for answer in answers):
        memory.changed()
    return answers
