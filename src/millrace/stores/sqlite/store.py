"""The SQLite store: producing and working, where the speed lies, and the two verbs in a caller's own transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from millrace.clock import Clock
from millrace.job import JobRow
from millrace.messages import Beat, ClaimRequest, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import JobState
from millrace.stores.sqlite import attempts, leases
from millrace.stores.sqlite.caller import in_its_thread
from millrace.stores.sqlite.claim import Claims, any_due, next_due, promote
from millrace.stores.sqlite.connection import Connection, Driver
from millrace.stores.sqlite.desk import Desk
from millrace.stores.sqlite.finish import NOTHING_ODD, Contested, Ending, finish
from millrace.stores.sqlite.follow import settle
from millrace.stores.sqlite.insert import insert_plain, insert_rows, is_plain, pair_of
from millrace.stores.sqlite.lanes import Lanes, Pair
from millrace.stores.sqlite.scheduler import Scheduler
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.settings import Network, Synchronous

__all__ = ["SQLiteStore"]

_PLAIN = 2  # parts of a pair without a group


class SQLiteStore(Desk, Scheduler):
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
        super().__init__(
            path,
            synchronous=synchronous,
            prefix=prefix,
            deadline=deadline,
            reserve=reserve,
            network=network,
            driver=driver,
            clock=clock,
        )
        self._lanes = Lanes()
        self._claims = Claims(self._lanes)
        self._flowing = False  # the last step has claimed something, so the next probably will

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        if len(rows) == 1 and is_plain(rows[0]):
            at = self._insert_plain(rows[0], now)
            if at is not None:
                self._database.changed()
                return InsertAnswer(at)
        made: dict[Pair, int] = {}
        answer, connection = self._write(lambda session: self._insert(session, rows, made), now=now)
        if made:
            self._lanes.learn(connection, made)  # not before the commit
        self._database.changed()
        return answer

    def _insert_plain(self, row: NewRow, now: int | None) -> int | None:
        """Insert one plain job by a statement that is its own transaction; None where more must be written or read."""
        lanes, texts = self._lanes, self._texts

        def insert(connection: Connection, at: int) -> int | None:
            lane = lanes.committed(connection).get((row.queue, row.task))
            return at if lane is not None and insert_plain(connection, texts, lane, row, at) else None

        return self._database.write(insert, now=now, alone=True)

    def _insert(
        self, session: Session, rows: Sequence[NewRow], made: dict[Pair, int]
    ) -> tuple[InsertAnswer, Connection]:
        lanes = self._lanes.committed(session.connection)
        missing = {pair for row in rows if (pair := pair_of(row)) not in lanes}
        if missing:
            found = self._lanes.make(session, missing)
            made.update({pair: lane for pair, lane in found.items() if len(pair) == _PLAIN})  # of groups there are many
            lanes = {**lanes, **found}
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
        if not outcomes and not claims:
            return StepAnswer(self._nothing_to_do())
        if not outcomes and not self._flowing and not self._claimable(claims, now):
            self._database.idle()
            return StepAnswer(self._database.now() if now is None else now, room_at=self._claims.room_at)
        body, spare = self._step, bool(outcomes)
        try:
            at, ending, claimed = self._write(
                lambda session: body(session, worker, outcomes, claims, careful=False), now=now, spare=spare
            )
        except Contested:
            at, ending, claimed = self._write(
                lambda session: body(session, worker, outcomes, claims, careful=True), now=now, spare=spare
            )
        while claimed is None:  # a flood of due jobs: others may write between its parts
            at, _, claimed = self._write(lambda session: body(session, worker, (), claims, careful=False), now=now)
        self._flowing = bool(claimed)
        if outcomes:
            self._database.changed()
        return StepAnswer(at, claimed, *ending, room_at=self._claims.room_at if claims else None)

    def _claimable(self, claims: Sequence[ClaimRequest], now: int | None) -> bool:
        """Look before locking: a worker that is woken for nothing takes no gate. One in full flow need not look."""
        return self._read(lambda session: self._claims.possible(session, claims), now=now)

    def _step(
        self,
        session: Session,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        careful: bool,
    ) -> tuple[int, Ending, Sequence[JobRow] | None]:
        ending = finish(session, worker, outcomes, careful=careful) if outcomes else NOTHING_ODD
        if outcomes and self._follows:
            while settle(session, 100):
                pass
        return session.now, ending, self._claims.claim(session, worker, claims) if claims else ()

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost."""
        if not beats:
            self._nothing_to_do()
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
            self._nothing_to_do()
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
        self._let_act(now=now)
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

    # -- in the caller's transaction

    def insert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert on the caller's own connection, in the caller's transaction, without a commit.

        Raises:
            NotSupported: The connection is not one of this store's file.
            ConfigurationError: It commits each statement by itself, and no transaction is open.
        """
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        # what is known of lanes is neither used, for the connection is another, nor learnt, for it may roll back
        pairs = {pair_of(row) for row in rows}
        return self._on(connection, lambda session: insert_rows(session, self._lanes.make(session, pairs), rows))

    def finish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Write one outcome on the caller's own connection, fenced; False where the claim is no longer the worker's.

        Raises:
            NotSupported: The connection is not one of this store's file.
            ConfigurationError: It commits each statement by itself, and no transaction is open.
        """
        lost, _ = self._on(connection, lambda session: finish(session, worker, [outcome], careful=True))
        return not lost

    async def ainsert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Do so from async code, on any connection: one that is awaited is written on in its own thread."""
        return await in_its_thread(connection, self._database.path, lambda given: self.insert_on(given, rows))

    async def afinish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Do so from async code, on any connection: one that is awaited is written on in its own thread."""
        path = self._database.path
        return await in_its_thread(connection, path, lambda given: self.finish_on(given, worker, outcome))
