"""The Redis store: producing and working, where the speed lies."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.clock import SECOND
from millrace.messages import Beat, ClaimRequest, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import JobState
from millrace.stores.redis import leases
from millrace.stores.redis.claim import next_due, promote
from millrace.stores.redis.desk import Desk
from millrace.stores.redis.insert import insert
from millrace.stores.redis.logs import add_logs
from millrace.stores.redis.stepping import Step

__all__ = ["RedisStore"]

_PATIENCE = 10.0  # seconds for a beat that extends no lease


class RedisStore(Desk):
    """Jobs on a Redis or Valkey server.

    Args:
        url: `redis://host`; what may stand in its query is told in `Settings`.
        clock: Where the time comes from; None is the server's clock, and that is what all but tests want.

    >>> RedisStore("redis://ada:secret@db.example/0").url
    'redis://ada:***@db.example/0'
    """

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none; more than 1,000 in wholes of that many."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        answer = self._write(lambda session: insert(session, rows), now=now, repeatable=True)
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
        """Finish attempts, each for good, then claim more: scripts in one trip, each a whole by itself."""
        if not outcomes and not claims:
            return StepAnswer(self._nothing_to_do())
        step = Step(worker, outcomes, claims)
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
        kept = self._write(lambda session: add_logs(session, worker, lines))
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
        rescued, freed = self._write(lambda session: leases.rescue(session, retention, dead_retention, limit), now=now)
        if rescued:
            self._changed(freed)
        return rescued

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending; return how many."""
        promoted = self._write(lambda session: promote(session, limit), now=now)
        if promoted:
            self._changed()
        return promoted

    def next_due(self) -> int | None:
        """Return when the next scheduled or failed job is due."""
        return self._read(next_due)
