"""The PostgreSQL store: producing and working, where the speed lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millrace.clock import SECOND, Clock
from millrace.messages import Beat, ClaimRequest, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import JobState
from millrace.store import Subscription
from millrace.stores.postgres import attempts, leases
from millrace.stores.postgres.claim import Claims, next_due, promote
from millrace.stores.postgres.desk import Desk
from millrace.stores.postgres.insert import insert_script
from millrace.stores.postgres.joint import JointStore
from millrace.stores.postgres.script import run
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.stepping import Step
from millrace.stores.postgres.sweep import Sweep

__all__ = ["PostgresStore"]

_PATIENCE = 10.0  # seconds for a beat that extends no lease


class PostgresStore(Desk, JointStore):
    """Jobs in a schema of a PostgreSQL database.

    Args:
        url: `postgresql://user@host/database`; what may stand in its query is told in `Settings`, and all that libpq
            knows may stand there too.
        clock: Where the time comes from; None is the server's clock, and that is what all but tests want.

    >>> PostgresStore("postgresql://ada:secret@db.example/shop").url
    'postgresql://ada:***@db.example/shop'
    """

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        super().__init__(url, clock=clock)
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
            answer = run(session, insert_script(rows))
            if session.again:  # a job of the same id is what the first run wrote, whose reply was lost
                others = {place: there for place, there in answer.existing.items() if there.by_key}
                return InsertAnswer(answer.now, others)
            return answer

        answer = self._write(body, now=now, repeatable=True)
        existing = answer.existing
        if len(existing) < len(rows):
            self._changed({row.queue for place, row in enumerate(rows) if place not in existing})
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
        return answer

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost."""
        if not beats:
            self._nothing_to_do()
            return []
        terms = [beat.lease for beat in beats if beat.lease is not None]
        within = max(min(terms) / SECOND / 3, 1.0) if terms else _PATIENCE
        states = self._beat(lambda session: leases.extend(session, worker, beats), within=within, now=now)
        for beat, state in zip(beats, states, strict=True):
            if state is None:
                self._let_go(worker, beat.id, beat.claim)
        if any(beat.progress is not None or beat.result is not None for beat in beats):
            self._changed()
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
