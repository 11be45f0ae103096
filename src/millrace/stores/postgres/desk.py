"""What people, clients and maintenance ask of the store: changing jobs, reading, queues, retention, register, locks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millrace.clock import Clock
from millrace.job import JobRow
from millrace.messages import Changed, JobFilter, QueueSettings, Waiting
from millrace.records import AttemptRow, LogRow, QueueInfo, WorkerRow
from millrace.states import LIVE, JobState
from millrace.stores.postgres import (
    attempts,
    changing,
    counting,
    listing,
    queues,
    register,
    retention,
    transfer,
)
from millrace.stores.postgres.following import Follower
from millrace.stores.postgres.rows import read_rows
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.sweep import Sweep
from millrace.transfer import Restored, WholeJob

__all__ = ["Desk"]


class Desk(Follower):
    """Everything but producing and working.

    Args:
        url: As for `Follower`.
        clock: So too.
    """

    def __init__(self, url: str | Settings, *, clock: Clock | None = None) -> None:
        super().__init__(url, clock=clock)
        self._expired = Sweep()

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
        answers = self._change(lambda session: changing.cancel(session, ids, states, retention), ids, now=now)
        self._let_act(now=now)
        return answers

    def retry(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        args: bytes | None = None,
        now: int | None = None,
    ) -> list[Changed]:
        """Make jobs pending and due now, as if they had just been enqueued."""
        return self._change(lambda session: changing.retry(session, ids, states, args), ids, now=now)

    def reschedule(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        due: int,
        now: int | None = None,
    ) -> list[Changed]:
        """Move the due time; due ones are pending, others scheduled."""
        return self._change(lambda session: changing.reschedule(session, ids, states, due), ids, now=now)

    def delete(self, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
        """Delete jobs with all that belongs to them."""
        answers = self._change(lambda session: changing.delete(session, ids, states), ids)
        self._let_act()
        return answers

    def _change(
        self, body: Callable[[Session], list[Changed]], ids: Sequence[bytes], *, now: int | None = None
    ) -> list[Changed]:
        return self._told(self._write(body, now=now) if ids else [])

    # -- reading

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        if not ids:
            self._nothing_to_do()
            return []
        found = self._read(lambda session: read_rows(session, ids))
        return [found.get(id) for id in ids]

    def page(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[JobRow], str | None]:
        """Read one page, newest first, and the cursor of the next."""
        return self._read(lambda session: listing.read_page(session, where, limit, cursor))

    def select(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[bytes], str | None]:
        """Read only the ids of such a page."""
        return self._read(lambda session: listing.find_page(session, where, limit, cursor))

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count jobs by state, all eight named; not `exact`, the completed of all queues are estimated past 50,000."""
        return self._read(lambda session: counting.count_states(session, queue, exact=exact))

    def depth(self, queue: str | None = None, *, now: int | None = None) -> int:
        """Count what waits for a worker."""
        return self._read(lambda session: counting.count_waiting(session, queue), now=now)

    def waiting(self, *, now: int | None = None) -> list[Waiting]:
        """Tell what `depth` counts by queue and task, and since when the oldest is due."""
        return self._read(counting.tell_waiting, now=now)

    def attempts(self, id: bytes) -> list[AttemptRow]:
        """Read a job's ended attempts, oldest first."""
        return self._read(lambda session: attempts.read_attempts(session, id))

    def logs(self, id: bytes) -> list[LogRow]:
        """Read a job's log lines, oldest first."""
        return self._read(lambda session: attempts.read_logs(session, id))

    # -- whole jobs

    def export(self, *, limit: int, cursor: str | None = None) -> tuple[list[WholeJob], str | None]:
        """Read one page of whole jobs, oldest first, and the cursor of the next."""
        return self._read(lambda session: transfer.export(session, limit, cursor))

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        """Insert whole jobs as they are; tell which were left out."""
        answer = self._write(lambda session: transfer.restore(session, jobs))
        if len(answer.there) + len(answer.held) < len(jobs):
            self._changed({job.row.queue for job in jobs if job.row.state in LIVE})
        return answer

    # -- queues, retention, register, locks

    def queues(self) -> list[QueueInfo]:
        """Read every queue that has settings or jobs, by name, with its counts."""
        return self._read(queues.read_queues)

    def set_queue(self, name: str, settings: QueueSettings) -> None:
        """Write a queue's settings."""
        self._write(lambda session: queues.write_queue(session, name, settings), repeatable=True)
        self._changed((name,))

    def pause(self, name: str, *, paused: bool) -> None:
        """Pause or resume a queue, whether it is known yet or not."""
        self._write(lambda session: queues.pause_queue(session, name, paused=paused), repeatable=True)
        self._changed((name,))

    def expire(self, *, limit: int = 500, now: int | None = None) -> int:
        """Delete jobs whose retention has passed; return how many."""
        at = self._at(now)
        return self._write(lambda session: retention.expire(session, self._expired, at, limit), now=now)

    def purge(self, finished_before: int, states: frozenset[JobState], *, limit: int = 500) -> int:
        """Delete ended jobs in `states` that finished before a time; return how many, at most `limit`."""
        return self._write(lambda session: retention.purge(session, finished_before, states, limit))

    def register(self, worker: WorkerRow) -> None:
        """Write a worker's entry, new or known."""
        self._begin_work(worker.id)
        self._write(lambda session: register.register(session, worker), repeatable=True)

    def unregister(self, worker: int) -> None:
        """Delete a worker's entry."""
        try:
            self._write(lambda session: register.unregister(session, worker), repeatable=True)
        finally:
            self._end_work(worker)  # its connections go in any case

    def workers(self, *, seen_after: int | None = None) -> list[WorkerRow]:
        """Read the register, oldest first."""
        return self._read(lambda session: register.read_workers(session, seen_after))

    def forget_workers(self, seen_before: int) -> int:
        """Delete entries not seen since a time; return how many."""
        return self._write(lambda session: register.forget_workers(session, seen_before))

    def acquire(self, lock: str, holder: int, ttl: int, *, now: int | None = None) -> bool:
        """Take or keep a named lock for `ttl` microseconds; False where another holds it."""
        return self._write(lambda session: register.acquire(session, lock, holder, ttl), now=now, repeatable=True)

    def release(self, lock: str, holder: int) -> None:
        """Give a named lock back, if it is still the holder's."""
        self._write(lambda session: register.release(session, lock, holder), repeatable=True)
