"""What people, clients and maintenance ask of the store: changing jobs, reading, queues, retention, register, locks.

Says which verb writes and which only reads, what is looked at before a lock is taken, and whom to tell afterwards;
what a verb does stands in the file of its noun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from millrace.job import JobRow
from millrace.messages import Changed, JobFilter, QueueSettings, Waiting
from millrace.records import AttemptRow, LogRow, QueueInfo, WorkerRow
from millrace.states import JobState
from millrace.stores.sqlite import attempts, counting, listing, queues, register, retention, transfer, verbs
from millrace.stores.sqlite.following import Follower
from millrace.stores.sqlite.rows import rows_by_uid
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.sql import chunks
from millrace.transfer import Restored, WholeJob

__all__ = ["Desk"]

T = TypeVar("T")

_IDS_AT_ONCE = 500  #: jobs changed in one transaction, so that others may write in between


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
        answers = self._change(lambda session, some: verbs.cancel(session, some, states, retention), ids, now=now)
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
        return self._change(lambda session, some: verbs.retry(session, some, states, args), ids, now=now)

    def reschedule(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        due: int,
        now: int | None = None,
    ) -> list[Changed]:
        """Move the due time; due ones are pending, others scheduled."""
        return self._change(lambda session, some: verbs.reschedule(session, some, states, due), ids, now=now)

    def delete(self, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
        """Delete jobs with all that belongs to them."""
        answers = self._change(lambda session, some: verbs.delete(session, some, states), ids)
        self._let_act()
        return answers

    def _change(
        self,
        change: Callable[[Session, Sequence[bytes]], list[Changed]],
        ids: Sequence[bytes],
        *,
        now: int | None = None,
    ) -> list[Changed]:
        if not ids:
            self._nothing_to_do()
        answers: list[Changed] = []
        for some in chunks(ids, _IDS_AT_ONCE):
            answers += self._write(partial(_given, change, some), now=now)
        if any(answer.changed for answer in answers):
            self._database.changed()
        return answers

    # -- reading

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        found = self._read(lambda session: rows_by_uid(session, ids))
        return [found.get(id) for id in ids]

    def page(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[JobRow], str | None]:
        """Read one page, newest first, and the cursor of the next."""
        return self._read(lambda session: listing.read_page(session, where, limit, cursor))

    def select(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[bytes], str | None]:
        """Read only the ids of such a page."""
        found, following = self._read(lambda session: listing.find_page(session, where, limit, cursor))
        return [uid for _, uid in found], following

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:  # noqa: ARG002
        """Count jobs by state, all eight named; always exact."""
        return self._read(lambda session: counting.count_states(session, queue))

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

    def exists(self) -> bool:
        """Tell whether the file is there, without making it."""
        return self._database.exists()

    def export(self, *, limit: int, cursor: str | None = None) -> tuple[list[WholeJob], str | None]:
        """Read one page of whole jobs, oldest first, and the cursor of the next."""
        return self._read(lambda session: transfer.export(session, limit, cursor))

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        """Insert whole jobs as they are; tell which were left out."""
        answer = self._write(lambda session: transfer.restore(session, jobs))
        if len(answer.there) + len(answer.held) < len(jobs):
            self._database.changed()
        return answer

    # -- queues, retention, register, locks

    def queues(self) -> list[QueueInfo]:
        """Read every queue that has settings or jobs, by name, with its counts."""
        return self._read(queues.read_queues)

    def set_queue(self, name: str, settings: QueueSettings) -> None:
        """Write a queue's settings."""
        self._write(lambda session: queues.write_queue(session, name, settings))
        self._database.changed()

    def pause(self, name: str, *, paused: bool) -> None:
        """Pause or resume a queue, whether it is known yet or not."""
        self._write(lambda session: queues.pause_queue(session, name, paused=paused))
        self._database.changed()

    def expire(self, *, limit: int = 500, now: int | None = None) -> int:
        """Delete jobs whose retention has passed; return how many."""
        if not self._read(retention.any_expired, now=now):
            return 0
        return self._write(lambda session: retention.expire(session, limit), now=now)

    def purge(self, finished_before: int, states: frozenset[JobState], *, limit: int = 500) -> int:
        """Delete ended jobs in `states` that finished before a time; return how many, at most `limit`."""
        found = self._read(lambda session: retention.find_old(session, finished_before, states, limit))
        if not found:
            return 0
        return self._write(lambda session: retention.purge(session, found, finished_before, states))

    def register(self, worker: WorkerRow) -> None:
        """Write a worker's entry, new or known."""
        if worker.id not in self._workers:
            self._workers.add(worker.id)
            self._database.begin_work()
        self._write(lambda session: register.register(session, worker))

    def unregister(self, worker: int) -> None:
        """Delete a worker's entry."""
        self._write(lambda session: register.unregister(session, worker))
        if worker in self._workers:
            self._workers.remove(worker)
            self._database.end_work()

    def workers(self, *, seen_after: int | None = None) -> list[WorkerRow]:
        """Read the register, oldest first."""
        return self._read(lambda session: register.read_workers(session, seen_after))

    def forget_workers(self, seen_before: int) -> int:
        """Delete entries not seen since a time; return how many."""
        return self._write(lambda session: register.forget_workers(session, seen_before))

    def acquire(self, lock: str, holder: int, ttl: int, *, now: int | None = None) -> bool:
        """Take or keep a named lock for `ttl` microseconds; False where another holds it."""
        return self._write(lambda session: register.acquire(session, lock, holder, ttl), now=now)

    def release(self, lock: str, holder: int) -> None:
        """Give a named lock back, if it is still the holder's."""
        self._write(lambda session: register.release(session, lock, holder))


def _given(change: Callable[[Session, Sequence[bytes]], T], ids: Sequence[bytes], session: Session) -> T:
    return change(session, ids)
