"""The Redis store: producing and working, where the speed lies."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.messages import Beat, ClaimRequest, InsertAnswer, NewRow, Rescued, StepAnswer
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import JobState
from millrace.stores.inserted import queues_touched
from millrace.stores.redis import leases
from millrace.stores.redis.claim import next_due, promote
from millrace.stores.redis.desk import Desk
from millrace.stores.redis.insert import insert
from millrace.stores.redis.logs import add_logs
from millrace.stores.redis.scheduler import Scheduler
from millrace.stores.redis.stepping import Step

__all__ = ["RedisStore"]


class RedisStore(Desk, Scheduler):
    """Jobs on a Redis or Valkey server.

    Args:
        url: `redis://host`; what may stand in its query is told in `Settings`.
        client: In place of a URL: a client of redis-py or valkey, blocking or not. It is asked where its server is and
            who it is there; the store makes connections of its own to that, with deadlines of its own.
        clock: Where the time comes from; None is the server's clock, and that is what all but tests want.
        options: What may stand in the query of a URL: `prefix="shop"`, `wait=1`.

    Raises:
        ConfigurationError: It is no such URL or client, both are given or neither, or an option will not do.

    >>> RedisStore("redis://ada:secret@db.example/0").url
    'redis://ada:***@db.example/0'
    """

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none; more than 1,000 in wholes of that many."""
        if not rows:
            return InsertAnswer(self._nothing_to_do())
        answer = self._write(lambda session: insert(session, rows), now=now, repeatable=True)
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
        """Finish attempts, each for good, then claim more: scripts in one trip, each a whole by itself."""
        if not outcomes and not claims:
            return StepAnswer(self._nothing_to_do())
        step = Step(worker, outcomes, claims)
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
            self._let_act(now=now)
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
