"""The verbs of those who work without a worker. Owns claiming by hand and writing an attempt's end; runs nothing.

A claimed `Job` carries its fence (id, claim, worker), so another process may complete it as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from millrace import checks
from millrace.changer import Changer
from millrace.clock import micros
from millrace.codec import encode_result
from millrace.errors import ConfigurationError, LeaseLost
from millrace.eventmaker import ended as told_end
from millrace.eventmaker import started
from millrace.followups import settle
from millrace.hooks import news_of_rescue
from millrace.ids import worker_name
from millrace.job import Job, JobRow
from millrace.messages import Beat, ClaimRequest
from millrace.options import DEFAULT_LEASE
from millrace.outcome import Outcome, error_record
from millrace.states import OutcomeKind, Reason
from millrace.store import MAX_CLAIM
from millrace.verdict import after_error, after_failure

__all__ = ["Consumer"]

R = TypeVar("R")

_EXPIRE_SECONDS = 5.0  # between two looks for what has expired, as in a worker


class Consumer(Changer):
    """What a consumer without a worker needs. Every verb of it is awaitable under `app.aio`."""

    _next_expire = -math.inf

    def claim(
        self,
        limit: int = 1,
        queues: Iterable[str] | None = None,
        tasks: Iterable[str | checks.Named] | None = None,
        lease: float | timedelta = DEFAULT_LEASE,
    ) -> list[Job[Any]]:
        """Take due jobs to work on them yourself; end each with `complete`, `fail` or `release`.

        What has become due is promoted, and jobs whose lease has passed are taken back first. A paused queue and a
        queue's concurrency hold here too. Every few seconds it also deletes some of the jobs whose retention has
        passed, at most 500.

        Args:
            limit: At most so many, 1 to 1,000.
            queues: From these only; None is any.
            tasks: Of these only, named or given; None is any, known to this app or not.
            lease: Seconds until another may take a job over, unless the job or `extend` says otherwise.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> ping = app.task(name="ping")(lambda: "pong")
        >>> job, again = ping.enqueue(), app.claim()[0]
        >>> again.id == job.id, again.state.value, app.complete(again, "done").result
        (True, 'running', 'done')
        """
        request = ClaimRequest(
            limit=checks.count("limit", limit, most=MAX_CLAIM),
            queues=None if queues is None else _names("queues", queues),
            tasks=None if tasks is None else frozenset(_names("tasks", tasks)),
            lease=micros(checks.duration("lease", lease, positive=True)),
        )
        rescued = self.store.rescue(
            retention=self.terms.retention_micros, dead_retention=self.terms.dead_retention_micros, limit=MAX_CLAIM
        )
        settle(self.store)
        self._expire_now_and_then()
        answer = self.store.step(self.worker_id, (), (request,))
        if self.hooks.hears_jobs:
            self.hooks.tell(news_of_rescue(self.store, rescued))
            self.hooks.tell([started(row, answer.now) for row in answer.claimed])
        return [self.view(row) for row in answer.claimed]

    def complete(self, job: Job[R], result: object = None) -> Job[R]:
        """End a claimed job well, and return it as it then is.

        Raises:
            ConfigurationError: It is given no Job.
            LeaseLost: The claim is no longer yours; nothing was written.
            PayloadError: The result has no form in JSON; the job still runs.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> ping = app.task(name="ping")(lambda: "pong")
        >>> app.enqueue_many([ping.job()])[0].state.value, app.complete(app.claim()[0]).state.value
        ('pending', 'completed')
        """
        row = _claimed(job)
        retention = self.terms_of(row).retention_micros
        return self._end(row, Outcome.completed(row, encode_result(result), retention=retention))

    def fail(self, job: Job[R], error: str | BaseException, retry_in: float | timedelta | None = None) -> Job[R]:
        """End a claimed job's attempt as failed: it waits for its next try, or is dead where none is left.

        Args:
            job: The claimed job.
            error: What went wrong; a text may be "Class: message".
            retry_in: Seconds until the next try; None is what the task's policy says. A signal such as `SkipRetry`
                given as the error does what it says.

        Raises:
            ConfigurationError: It is given no Job.
            LeaseLost: The claim is no longer yours; nothing was written.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> failed = app.fail(app.claim()[0], "Timeout: no answer", retry_in=60)
        >>> failed.state.value, failed.error
        ('failed', 'Timeout: no answer')
        """
        row = _claimed(job)
        terms = self.terms_of(row)
        if not isinstance(cast("object", error), (str, BaseException)):
            raise ConfigurationError(f"error {error!r} is neither an exception nor text; give one of them")
        if retry_in is not None:
            wait = checks.duration("retry_in", retry_in)
            return self._end(row, after_failure(row, error_record(error), terms, retry_in=wait))
        if isinstance(error, BaseException):
            return self._end(row, after_error(row, error, terms))
        return self._end(row, after_failure(row, error_record(error), terms))

    def release(self, job: Job[R]) -> Job[R]:
        """Give a claimed job back: it is due at once, and the try does not count.

        Raises:
            ConfigurationError: It is given no Job.
            LeaseLost: The claim is no longer yours; nothing was written.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> released = app.release(app.claim()[0])
        >>> released.state.value, released.attempt
        ('pending', 0)
        """
        row = _claimed(job)
        return self._end(row, Outcome.released(row, retention=self.terms_of(row).retention_micros))

    def extend(self, job: Job[R], seconds: float | timedelta) -> Job[R]:
        """Hold a claimed job for so many seconds. Its state tells whether a cancel was asked for.

        They count from now, not from the end of the lease, so fewer than are left shorten it.

        Raises:
            ConfigurationError: It is given no Job, or no duration.
            LeaseLost: The claim is no longer yours: stop the work.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.extend(app.claim()[0], 300).state.value
        'running'
        """
        lease = micros(checks.duration("seconds", seconds, positive=True))
        row = _claimed(job)
        beat = Beat(row.ref, row.id, row.claim, lease=lease)
        if row.worker is None or self.store.extend(row.worker, [beat])[0] is None:
            raise self._lost(row)
        return self._now(row)

    def _expire_now_and_then(self) -> None:
        """Delete some of what has expired: where nobody runs a worker, nobody else does."""
        now = time.monotonic()
        if now >= self._next_expire:
            self._next_expire = now + _EXPIRE_SECONDS
            self.store.expire()

    def _end(self, row: JobRow, outcome: Outcome) -> Job[Any]:
        answer = None if row.worker is None else self.store.step(row.worker, (outcome,), ())
        if answer is None or answer.lost:
            raise self._lost(row)
        state = answer.resulting.get(0, outcome.state)
        if self.hooks.hears_jobs:
            self.hooks.tell([told_end(row, outcome, answer.now, state)])
        ended = msgspec.structs.replace(
            row,
            state=state,
            reason=outcome.reason if state is outcome.state else Reason.CANCELLED,
            result=row.result if outcome.result is None else outcome.result,
            error=_error_after(row, outcome),
            lease=None,
            finished=answer.now,
        )
        return self._now(ended)

    def _now(self, row: JobRow) -> Job[Any]:
        """Read a job again; one that was not to be kept is shown as it ended."""
        return self.view(self.store.get([row.id])[0] or row)

    def _lost(self, row: JobRow) -> LeaseLost:
        found = self.store.get([row.id])[0]
        if found is None:
            now = "the job is gone"
        elif found.claim == row.claim:
            now = f"it is {found.state}"
        else:
            holder = "nobody" if found.worker is None else worker_name(found.worker)
            now = f"it is {found.state} under claim {found.claim} of worker {holder}"
        return LeaseLost(
            f"claim {row.claim} of job {UUID(bytes=row.id)} is not yours: {now}; stop, nothing was written"
        )


def _error_after(row: JobRow, outcome: Outcome) -> str | None:
    if outcome.error is not None:
        return outcome.error.text
    return None if outcome.kind is OutcomeKind.COMPLETED else row.error


def _claimed(job: object) -> JobRow:
    if isinstance(job, Job):
        return cast("Job[Any]", job).row
    raise ConfigurationError(f"{job!r} is not a Job; give the Job that app.claim returned")


def _names(what: str, given: Iterable[str | checks.Named]) -> tuple[str, ...]:
    names = tuple(checks.name(f"a name in {what}", getattr(each, "name", each)) for each in checks.items(what, given))
    if not names:
        raise ConfigurationError(f"{what}=[] would claim nothing; name some, or leave it out for all")
    return names
