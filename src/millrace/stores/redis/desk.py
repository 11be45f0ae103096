"""What people, clients and maintenance ask of the store: changing jobs, reading, queues, retention, register, locks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from millrace.errors import MillraceError
from millrace.job import JobRow
from millrace.messages import Changed, Finding, JobFilter, QueueSettings, Waiting
from millrace.records import AttemptRow, LogRow, QueueInfo, WorkerRow
from millrace.states import LIVE, JobState
from millrace.stores.redis import (
    attempts,
    changing,
    counting,
    listing,
    queues,
    register,
    retention,
    transfer,
)
from millrace.stores.redis.following import Follower
from millrace.stores.redis.health import find_disagreement
from millrace.stores.redis.looks import Look
from millrace.stores.redis.session import Session
from millrace.transfer import Restored, WholeJob

__all__ = ["Desk"]

T = TypeVar("T")


class Desk(Follower):
    """Everything but producing and working."""

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
        answers = self._told(changing.cancel(self._writing(now), ids, states, retention))
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
        return self._told(changing.retry(self._writing(now), ids, states, args))

    def reschedule(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        due: int,
        now: int | None = None,
    ) -> list[Changed]:
        """Move the due time; due ones are pending, others scheduled."""
        return self._told(changing.reschedule(self._writing(now), ids, states, due))

    def delete(self, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
        """Delete jobs with all that belongs to them."""
        answers = self._told(changing.delete(self._write, ids, states))
        self._let_act()
        return answers

    # -- reading

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        if not ids:
            self._nothing_to_do()
            return []
        return listing.get(self._read, ids)

    def page(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[JobRow], str | None]:
        """Read one page, newest first, and the cursor of the next."""
        return listing.read_page(self._read, where, limit, cursor)

    def select(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[bytes], str | None]:
        """Read only the ids of such a page."""
        return listing.find_page(self._read, where, limit, cursor)

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:  # noqa: ARG002
        """Count jobs by state, all eight named; always exact."""
        return self._read(lambda session: counting.count_states(session, queue))

    def depth(self, queue: str | None = None, *, now: int | None = None) -> int:
        """Count what waits for a worker."""
        return counting.count_waiting(self._reading(now), queue)

    def waiting(self, *, now: int | None = None) -> list[Waiting]:
        """Tell what `depth` counts by queue and task, and since when the oldest is due."""
        return counting.tell_waiting(self._reading(now))

    def attempts(self, id: bytes) -> list[AttemptRow]:
        """Read a job's ended attempts, oldest first."""
        return self._read(lambda session: attempts.read_attempts(session, id))

    def logs(self, id: bytes) -> list[LogRow]:
        """Read a job's log lines, oldest first."""
        return self._read(lambda session: attempts.read_logs(session, id))

    # -- whole jobs

    def export(self, *, limit: int, cursor: str | None = None) -> tuple[list[WholeJob], str | None]:
        """Read one page of whole jobs, oldest first, and the cursor of the next."""
        jobs, following = transfer.export(self._read, limit, cursor)
        return self._with_waits(jobs), following

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        """Insert whole jobs as they are; tell which were left out."""
        if not jobs:
            self._nothing_to_do()
        answer = transfer.restore(self._write, jobs)
        self._tie_restored(jobs)
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
        return retention.expire(self._writing(now), limit)

    def purge(self, finished_before: int, states: frozenset[JobState], *, limit: int = 500) -> int:
        """Delete ended jobs in `states` that finished before a time; return how many, at most `limit`."""
        return retention.purge(self._write, finished_before, states, limit)

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

    # -- health

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell: at the server, and whether our keys agree."""
        findings = super().check()
        if any(each.level == "error" and each.subject == "server" for each in findings):
            return findings
        try:
            return [*findings, find_disagreement(self._reading(None))]
        except MillraceError as error:
            return [*findings, Finding("error", "server", str(error))]

    # -- within the store: what takes many looks gives each a deadline of its own

    def _reading(self, now: int | None) -> Look:
        def look(body: Callable[[Session], T], /) -> T:
            return self._read(body, now=now)

        return look

    def _writing(self, now: int | None) -> Look:
        def look(body: Callable[[Session], T], /) -> T:
            return self._write(body, now=now)

        return look
