"""The PostgreSQL store: producing and working, where the speed lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Unpack

from millrace.clock import Clock
from millrace.errors import ConfigurationError
from millrace.messages import Beat, ClaimRequest, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import JobState
from millrace.store import Subscription
from millrace.stores.inserted import queues_touched
from millrace.stores.postgres import attempts, leases
from millrace.stores.postgres.borrowed import PostgresOptions, of_pool
from millrace.stores.postgres.claim import Claims, next_due, promote
from millrace.stores.postgres.desk import Desk
from millrace.stores.postgres.insert import insert_script
from millrace.stores.postgres.joint import JointStore
from millrace.stores.postgres.pool import Pool
from millrace.stores.postgres.scheduler import Scheduler
from millrace.stores.postgres.script import run
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.stepping import Step
from millrace.stores.postgres.sweep import Sweep
from millrace.stores.postgres.url import read_url

__all__ = ["PostgresStore"]


class PostgresStore(Desk, Scheduler, JointStore):
    """Jobs in a schema of a PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`; what may stand in its query is told in `Settings`, and all that libpq
            knows may stand there too.
        pool: In place of a URL: a `psycopg_pool.ConnectionPool` of yours, whose connections are used. A process that
            produces has one of them for the length of each call; one with a worker keeps five while it works. The pool
            is yours to open and to close, the store before it.
        clock: Where the time comes from; None is the server's clock, and that is what all but tests want.
        options: What may stand in the query of a URL: `schema="jobs"`, `listen=False`.

    Raises:
        ConfigurationError: It is no such URL or pool, both are given or neither, or an option will not do.

    >>> PostgresStore("postgresql://ada:secret@db.example/shop", schema="jobs").url
    'postgresql://ada:***@db.example/shop'
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        pool: Pool | None = None,
        clock: Clock | None = None,
        **options: Unpack[PostgresOptions],
    ) -> None:
        if (url is None) is (pool is None):
            raise ConfigurationError("a PostgresStore is given either a URL or pool=; give one of them")
        settings = of_pool(pool, options) if url is None else replace(read_url(url), **options)
        super().__init__(settings, clock=clock)
        self._claims = Claims()
        self._lost = Sweep()

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back soon after jobs may have become claimable or changed; a claim then goes straight to the rows."""

        def hinted() -> None:
            self._claims.flowing = True
            on_change()

        return super().watch(hinted)

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())

        def body(session: Session) -> InsertAnswer:
            if len(rows) > 1 and any(row.on_conflict == "reject" for row in rows):
                with session.transaction():
                    answer = run(session, insert_script(rows))
            else:
                answer = run(session, insert_script(rows))
            if session.again:  # a job of the same id is what the first run wrote, whose reply was lost
                others = {place: there for place, there in answer.existing.items() if there.by_key}
                return InsertAnswer(answer.now, others, answer.refused)
            return answer

        answer = self._write(body, now=now, repeatable=True)
        touched = queues_touched(rows, answer)
        if touched:
            self._changed(touched)
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
        """Finish attempts, each for good, then claim more: two transactions in one trip to the server."""
        if not outcomes and not claims:
            return StepAnswer(self._nothing_to_do())
        step = Step(self._claims, worker, outcomes, claims)
        answer = self._step(step, worker, outcomes, now=now)
        if outcomes:
            self._changed(step.freed)
            if self._follows:
                self._let_act(now=now)
        return answer

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost."""
        return self._extended(leases.extend, worker, beats, now)

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
            self._changed()
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
        at = self._at(now)

        def body(session: Session) -> list[Rescued]:
            with self._lost.look(session, at, limit) as look:
                return leases.rescue(session, look, retention, dead_retention, limit)

        rescued = self._write(body, now=now)
        if rescued:
            self._changed({each.queue for each in rescued if each.state is JobState.PENDING})
            self._let_act(now=now)
        return rescued

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending; return how many."""
        at = self._at(now)
        promoted = self._write(lambda session: promote(session, self._claims.due, at, limit), now=now)
        if promoted:
            self._changed()
        return promoted

    def next_due(self) -> int | None:
        """Return when the next scheduled or failed job is due."""
        return self._read(next_due)
