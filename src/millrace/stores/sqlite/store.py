"""The SQLite store: every verb of the `Store` protocol, each a transaction over the file that its own room describes.

This file says which verb writes, which only reads, what is looked at before a lock is taken, and whom to tell after.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from millrace.clock import Clock
from millrace.job import JobRow
from millrace.messages import (
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
)
from millrace.outcome import Outcome
from millrace.records import AttemptRow, LogRow, QueueInfo, WorkerRow
from millrace.states import JobState
from millrace.store import Subscription
from millrace.stores.sqlite import attempts, counting, leases, listing, queues, register, retention, verbs
from millrace.stores.sqlite.caller import on_connection
from millrace.stores.sqlite.claim import Claims, any_due, next_due, promote
from millrace.stores.sqlite.connection import Connection, Driver
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.finish import NOTHING_ODD, Contested, finish
from millrace.stores.sqlite.insert import insert_rows
from millrace.stores.sqlite.lanes import Lanes, Pair
from millrace.stores.sqlite.rows import rows_by_uid
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.settings import Network, Synchronous
from millrace.stores.sqlite.sql import Texts, chunks

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_IDS_AT_ONCE = 500  #: jobs changed in one transaction, so that others may write in between


class SQLiteStore:
    """Jobs in an SQLite file.

    Args:
        path: The file; made where absent, its folder is not. Relative to the working directory.
        synchronous: "full" survives power loss; "normal" may lose the last commits in one, and is faster.
        prefix: What the names of our tables begin with: the file may hold others.
        deadline: Seconds to wait for the file's lock before `StoreUnavailable`.
        reserve: Keep a small file beside the database, given up where the disk is full, so that work can be ended.
        network: "allow" takes a file on a network file system, where locks may not hold.
        driver: "apsw" brings an SQLite of its own, newer than the system's.
        clock: Where the time comes from; None is the host's clock.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = SQLiteStore(Path(folder) / "jobs.db")
    ...     store.depth()
    ...     store.close()
    0
    """

    parallel_steps = 1  # writers are serial

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "full",
        prefix: str = "millrace_",
        deadline: float = 30.0,
        reserve: bool = True,
        network: Network = "refuse",
        driver: Driver = "sqlite3",
        clock: Clock | None = None,
    ) -> None:
        self._database = Database(
            os.fspath(path),
            synchronous=synchronous,
            prefix=prefix,
            deadline=deadline,
            reserve=reserve,
            network=network,
            driver=driver,
            clock=clock,
        )
        self.url = self._database.url
        self._texts = Texts(prefix)
        self._lanes = Lanes()
        self._claims = Claims(self._lanes)
        self._flowing = False  # the last step has claimed something, so the next probably will
        self._workers: set[int] = set()

    def __repr__(self) -> str:
        return f"SQLiteStore({self.url!r})"

    def now(self) -> int:
        """Return the store's time in microseconds; never steps back within a process."""
        return self._database.now()

    def migrate(self) -> list[str]:
        """Create or upgrade the schema; return what was done."""
        return self._database.migrate()

    def close(self) -> None:
        """Release every connection, thread and file."""
        self._database.close()

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none."""
        if not rows:
            return InsertAnswer(self._database.now())
        made: dict[Pair, int] = {}
        answer, connection = self._write(lambda session: self._insert(session, rows, made), now=now)
        if made:
            self._lanes.learn(connection, made)  # not before the commit
        self._database.changed()
        return answer

    def _insert(
        self, session: Session, rows: Sequence[NewRow], made: dict[Pair, int]
    ) -> tuple[InsertAnswer, Connection]:
        lanes = self._lanes.committed(session.connection)
        missing = {pair for row in rows if (pair := (row.queue, row.task)) not in lanes}
        if missing:
            made.update(self._lanes.make(session, missing))
            lanes = {**lanes, **made}
        return insert_rows(session, lanes, rows), session.connection

    # -- working

    def step(
        self,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        now: int | None = None,
    ) -> StepAnswer:
        """Finish attempts and claim more, in one transaction."""
        if not outcomes and not self._flowing and not self._claimable(claims, now):
            self._database.idle()
            return StepAnswer(self._database.now() if now is None else now)
        body, spare = self._step, bool(outcomes)
        try:
            answer = self._write(
                lambda session: body(session, worker, outcomes, claims, careful=False), now=now, spare=spare
            )
        except Contested:
            answer = self._write(
                lambda session: body(session, worker, outcomes, claims, careful=True), now=now, spare=spare
            )
        self._flowing = bool(answer.claimed)
        if outcomes:
            self._database.changed()
        return answer

    def _claimable(self, claims: Sequence[ClaimRequest], now: int | None) -> bool:
        """Look before locking: a worker that is woken for nothing takes no gate. One in full flow need not look."""
        return bool(claims) and self._read(lambda session: self._claims.possible(session, claims), now=now)

    def _step(
        self,
        session: Session,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        careful: bool,
    ) -> StepAnswer:
        lost, resulting = finish(session, worker, outcomes, careful=careful) if outcomes else NOTHING_ODD
        claimed = self._claims.claim(session, worker, claims) if claims else ()
        return StepAnswer(session.now, claimed, lost, resulting)

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost."""
        if not beats:
            return []
        states = self._write(lambda session: leases.extend(session, worker, beats), now=now, urgent=True)
        if any(beat.progress is not None or beat.result is not None for beat in beats):
            self._database.changed()
        return states

    def cancelling(self, worker: int) -> list[tuple[bytes, int]]:
        """Return (id, claim) of the worker's jobs that were asked to cancel."""
        return self._read(lambda session: leases.read_cancelling(session, worker))

    def log(self, worker: int, lines: Sequence[LogRow]) -> list[bool]:
        """Store log lines, fenced; answer for each whether it was kept."""
        if not lines:
            return []
        kept = self._write(lambda session: attempts.add_logs(session, worker, lines))
        if any(kept):
            self._database.changed()
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
        if not self._read(leases.any_lost, now=now):
            return []
        rescued = self._write(lambda session: leases.rescue(session, retention, dead_retention, limit), now=now)
        self._database.changed()
        return rescued

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending; return how many."""
        if not self._read(any_due, now=now):
            return 0
        promoted = self._write(lambda session: promote(session, limit), now=now)
        self._database.changed()
        return promoted

    def next_due(self) -> int | None:
        """Return when the next scheduled or failed job is due."""
        return self._read(next_due)

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
        return self._change(lambda session, some: verbs.cancel(session, some, states, retention), ids, now=now)

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
        return self._change(lambda session, some: verbs.delete(session, some, states), ids)

    def _change(
        self,
        change: Callable[[Session, Sequence[bytes]], list[Changed]],
        ids: Sequence[bytes],
        *,
        now: int | None = None,
    ) -> list[Changed]:
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

    def attempts(self, id: bytes) -> list[AttemptRow]:
        """Read a job's ended attempts, oldest first."""
        return self._read(lambda session: attempts.read_attempts(session, id))

    def logs(self, id: bytes) -> list[LogRow]:
        """Read a job's log lines, oldest first."""
        return self._read(lambda session: attempts.read_logs(session, id))

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

    # -- hints and health

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back, from any thread, soon after jobs may have become claimable or changed."""
        return self._database.watch(on_change)

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell."""
        return self._database.check()

    # -- in the caller's transaction

    def insert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert on the caller's own connection, in the caller's transaction, without a commit.

        Raises:
            NotSupported: The connection is not one of this store's file.
            ConfigurationError: It commits each statement by itself, and no transaction is open.
        """
        if not rows:
            return InsertAnswer(self._database.now())
        # what is known of lanes is neither used, for the connection is another, nor learnt, for it may roll back
        pairs = {(row.queue, row.task) for row in rows}
        return self._on(connection, lambda session: insert_rows(session, self._lanes.make(session, pairs), rows))

    def finish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Write one outcome on the caller's own connection, fenced; False where the claim is no longer the worker's.

        Raises:
            NotSupported: The connection is not one of this store's file.
            ConfigurationError: It commits each statement by itself, and no transaction is open.
        """
        lost, _ = self._on(connection, lambda session: finish(session, worker, [outcome], careful=True))
        return not lost

    # -- within the store

    def _write(
        self, body: Callable[[Session], T], *, now: int | None = None, urgent: bool = False, spare: bool = False
    ) -> T:
        texts = self._texts
        return self._database.write(
            lambda connection, at: body(Session(connection, texts, at)), now=now, urgent=urgent, spare=spare
        )

    def _read(self, body: Callable[[Session], T], *, now: int | None = None) -> T:
        at = self._database.now() if now is None else now
        return self._database.read(lambda connection: body(Session(connection, self._texts, at)))

    def _on(self, connection: object, body: Callable[[Session], T]) -> T:
        database = self._database
        database.open()  # the schema is made on our own connection
        return on_connection(connection, database.path, lambda ours: body(Session(ours, self._texts, database.now())))


def _given(change: Callable[[Session, Sequence[bytes]], T], ids: Sequence[bytes], session: Session) -> T:
    return change(session, ids)
