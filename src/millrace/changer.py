"""The verbs that change jobs and queues. Owns the words of refusal; which states may change is told in `states`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from millrace import checks
from millrace.clock import micros
from millrace.codec import encode_plain
from millrace.errors import ConfigurationError, DuplicateJob, InvalidTransition, PayloadError
from millrace.eventmaker import cancelled, deleted, rescheduled, retried
from millrace.events import JobEvent
from millrace.followups import settle
from millrace.job import Job, JobRow
from millrace.limits import Rate, queue_rate
from millrace.messages import Changed, JobFilter, QueueSettings
from millrace.reader import Id, Reader, States, chosen, read_states
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE

__all__ = ["Changer"]

_AT_ONCE = 500  #: jobs changed in one transaction
_PAUSE_SECONDS = 0.002  #: between two chunks of a purge, for the workers; without it they waited up to a second

_REFUSALS = {
    "retry": "it takes jobs that ended or failed; this one still has its turn to come, or cancel it first",
    "reschedule": "it takes jobs that wait; enqueue a new one, or cancel this one first",
    "delete": "it takes jobs that do not run; cancel it first, and delete it once it has ended",
}


class Changer(Reader):
    """What an app can do to jobs and queues. Every verb of it is awaitable under `app.aio`."""

    # -- one job

    def cancel(self, id: Id) -> Job[Any]:
        """Cancel a job: a waiting one at once; a running one is told and is `cancelling` until it ends.

        A job that has ended is returned unchanged.

        Raises:
            JobNotFound: No job has this id.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.cancel(app.task(name="ping")(lambda: "pong").enqueue()).state.value
        'cancelled'
        """
        row = self.row_of(id)
        retention = self.terms_of(row).retention_micros
        changed = self._told(cancelled, self.store.cancel([row.id], CANCELLABLE, retention=retention))[0]
        return self.view(changed.row or row)

    def retry(self, id: Id, args: Mapping[str, Any] | None = None) -> Job[Any]:
        """Run a job again that has ended or failed: it is pending and due now, with all its tries before it.

        Attempts and logs stay; result, error and progress are cleared. Its unique key stays too, even one that a
        `Unique` rule made of the old arguments and with new `args`.

        Args:
            id: Which job.
            args: New arguments by parameter name, in place of the old; None keeps them.

        Raises:
            JobNotFound: No job has this id.
            InvalidTransition: It is waiting or running.
            DuplicateJob: Another job holds its unique key.
            PayloadError: The arguments do not fit.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.cancel(app.task(name="ping")(lambda: "pong").enqueue())
        >>> app.retry(job).state.value
        'pending'
        """
        row = self.row_of(id)
        data = None if args is None else self._encoded(row.task, args)
        changed = self._told(retried, self.store.retry([row.id], RETRYABLE, args=data))[0]
        if changed.holder is not None:
            holder = self.view(changed.holder)
            raise DuplicateJob(
                f"job {UUID(bytes=row.id)} cannot be retried: job {holder.id} ({holder.state}) holds its unique key "
                f"{row.unique_key!r}; wait for that one, or cancel it",
                holder,
            )
        return self._done("retry", row, changed)

    def reschedule(self, id: Id, run_at: datetime) -> Job[Any]:
        """Move a waiting job to another time; one in the past is due now.

        Args:
            id: Which job.
            run_at: An aware datetime.

        Raises:
            JobNotFound: No job has this id.
            InvalidTransition: It runs or has ended.
            ConfigurationError: The time has no timezone.

        >>> from datetime import UTC, datetime
        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.reschedule(job, run_at=datetime(2100, 1, 1, tzinfo=UTC)).state.value
        'scheduled'
        """
        due = checks.moment("run_at", run_at)
        row = self.row_of(id)
        changed = self._told(rescheduled, self.store.reschedule([row.id], RESCHEDULABLE, due=due))[0]
        return self._done("reschedule", row, changed)

    def delete(self, id: Id) -> Job[Any]:
        """Delete a job with its history, and return it as it was.

        Raises:
            JobNotFound: No job has this id.
            InvalidTransition: It runs.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.delete(app.task(name="ping")(lambda: "pong").enqueue())
        >>> app.depth()
        0
        """
        row = self.row_of(id)
        return self._done("delete", row, self._told(deleted, self.store.delete([row.id], DELETABLE))[0])

    def _done(self, verb: str, row: JobRow, changed: Changed) -> Job[Any]:
        if changed.row is None:
            raise self.not_found(row.id)
        if not changed.changed:
            state = changed.row.state
            raise InvalidTransition(f"job {UUID(bytes=row.id)} is {state} and {verb} does not apply: {_REFUSALS[verb]}")
        return self.view(changed.row)

    def _told(self, event: Callable[[JobRow, int], JobEvent], answers: list[Changed]) -> list[Changed]:
        """Tell listeners what was changed, and return the answers; let jobs act that have ended with it."""
        if event is not retried and event is not rescheduled and any(each.changed for each in answers):
            settle(self.store)
        if self.hooks.hears_jobs:
            now = self.store.now()
            self.hooks.tell([event(each.row, now) for each in answers if each.changed and each.row is not None])
        return answers

    def _encoded(self, task: str, args: Mapping[str, Any]) -> bytes:
        spec = self.registry.get(task)
        if spec is None:
            return encode_plain(task, args, self.max_payload)
        return spec.arguments.encode_named(args, self.max_payload)

    # -- all that match

    def retry_all(
        self,
        *,
        state: States | None = "dead",
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
        args: Mapping[str, Any] | None = None,
    ) -> int:
        """Retry all jobs that match every filter given, and return how many were; the rest is passed over.

        Args:
            state: One state or several; None is every state that `retry` takes.
            queue: Its name.
            task: Its name.
            tag: One that the job has.
            error: The class name of the last error, such as "ValueError".
            args: New values for some arguments of each, by parameter name; the others stay. None changes none.

        Raises:
            PayloadError: With new `args` those of a job do not fit. It and those after it are left as they are; a note
                tells how many were retried before.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.cancel(app.task(name="ping")(lambda: "pong").enqueue())
        >>> app.retry_all(), app.retry_all(state="cancelled")
        (0, 1)
        """
        where = chosen(state, queue=queue, task=task, tag=tag, error=error, allowed=RETRYABLE)
        if not (args is None or isinstance(cast("object", args), Mapping)):
            raise PayloadError(f"args={args!r} is no dict of arguments; give new values by parameter name")
        done = 0
        try:
            for ids in self._chosen(where):
                again = (
                    self._told(retried, self.store.retry(ids, RETRYABLE)) if args is None else self._edited(ids, args)
                )
                done += _changed(again)
        except PayloadError as trouble:
            trouble.add_note(f"{done} jobs were retried before it")
            raise
        return done

    def _edited(self, ids: Sequence[bytes], args: Mapping[str, Any]) -> list[Changed]:
        """Retry jobs with some of their arguments changed; none of them where one's would not fit."""
        edited = [(row.id, self._with(row, args)) for row in self.store.get(ids) if row is not None]
        return [self._told(retried, self.store.retry([id], RETRYABLE, args=data))[0] for id, data in edited]

    def _with(self, row: JobRow, args: Mapping[str, Any]) -> bytes:
        try:
            return self._encoded(row.task, {**self.view(row).args, **args})
        except PayloadError as error:
            raise PayloadError(f"job {UUID(bytes=row.id)}: {error}") from None

    def cancel_all(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
    ) -> int:
        """Cancel all jobs that match every filter given, as `cancel` does, and return how many were.

        Args:
            state: One state or several; None is every state that `cancel` changes, running included.
            queue: Its name.
            task: Its name.
            tag: One that the job has.
            error: The class name of the last error.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.cancel_all(queue="default")
        1
        """
        where = chosen(state, queue=queue, task=task, tag=tag, error=error, allowed=CANCELLABLE)
        return sum(self._cancelled(ids) for ids in self._chosen(where))

    def _cancelled(self, ids: Sequence[bytes]) -> int:
        """Cancel jobs of several tasks, each to be kept as long as its task says."""
        alike: dict[int | None, list[bytes]] = {}
        for row in self.store.get(ids):
            if row is not None:
                alike.setdefault(self.terms_of(row).retention_micros, []).append(row.id)
        return sum(
            _changed(self._told(cancelled, self.store.cancel(some, CANCELLABLE, retention=kept)))
            for kept, some in alike.items()
        )

    def delete_all(
        self,
        *,
        state: States,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        error: str | None = None,
    ) -> int:
        """Delete all jobs that match every filter given, and return how many were; running ones are passed over.

        Args:
            state: One state or several; it must be named.
            queue: Its name.
            task: Its name.
            tag: One that the job has.
            error: The class name of the last error.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.delete_all(state="dead"), app.delete_all(state=["pending", "dead"])
        (0, 1)
        """
        if read_states(state) is None:
            raise ConfigurationError("delete_all(state=None) would delete everything; name the states, such as 'dead'")
        where = chosen(state, queue=queue, task=task, tag=tag, error=error, allowed=DELETABLE)
        return sum(_changed(self._told(deleted, self.store.delete(ids, DELETABLE))) for ids in self._chosen(where))

    def _chosen(self, where: JobFilter) -> Iterator[list[bytes]]:
        """Give the ids that match, some hundred at a time, newest first: none comes twice, whatever becomes of it."""
        cursor: str | None = None
        while True:
            ids, cursor = self.store.select(where, limit=_AT_ONCE, cursor=cursor)
            if ids:
                yield ids
            if cursor is None:
                return

    def purge(self, older_than: float | timedelta | datetime, states: States = ("completed", "cancelled")) -> int:
        """Delete ended jobs that finished before a time, and return how many.

        Args:
            older_than: Seconds or a `timedelta` before now, or an aware datetime.
            states: Which of completed, dead and cancelled.

        >>> from millrace import Millrace
        >>> Millrace("memory://").purge(older_than=3600)
        0
        """
        ended = read_states(states) or FINAL
        if not ended <= FINAL:
            raise ConfigurationError(
                f"purge takes ended jobs only, not {', '.join(sorted(ended - FINAL))}; see delete_all for the others"
            )
        if isinstance(older_than, datetime):
            before = checks.moment("older_than", older_than)
        else:
            before = self.store.now() - micros(checks.duration("older_than", older_than))
        total = 0
        while (some := self.store.purge(before, ended, limit=_AT_ONCE)) > 0:
            total += some
            time.sleep(_PAUSE_SECONDS)
        return total

    # -- queues

    def pause(self, queue: str) -> None:
        """Stop claims from a queue, whether it has jobs yet or not. What runs goes on, and jobs may be added.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.pause("mail")
        >>> app.queues()[0].paused
        True
        """
        self.store.pause(checks.name("queue", queue), paused=True)

    def resume(self, queue: str) -> None:
        """Allow claims from a queue again.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.resume("mail")
        """
        self.store.pause(checks.name("queue", queue), paused=False)

    def set_queue(
        self,
        name: str,
        *,
        priority: int = 0,
        concurrency: int | None = None,
        rate: Rate | str | None = None,
        paused: bool | None = None,
    ) -> None:
        """Write all of a queue's settings: what is left out goes to its default, but for `paused`, which then stays.

        `pause` and `resume` change that one thing and keep the rest.

        Args:
            name: The queue, known yet or not.
            priority: Queues of a higher priority are claimed from first, equal ones take turns.
            concurrency: At most so many of its jobs run at once, over all workers; None is no limit.
            rate: At most so many of its jobs are claimed in a time, over all workers: "10/s", "100/m", "5/h",
                "1000/d" or a `Rate` without a key; None is no limit.
            paused: True stops claims from it, False allows them; None keeps it as it is.

        >>> from millrace import Millrace
        >>> Millrace("memory://").set_queue("mail", concurrency=2, rate="100/m")
        """
        settings = QueueSettings(
            priority=checks.priority(priority),
            concurrency=None if concurrency is None else checks.count("concurrency", concurrency),
            paused=None if paused is None else checks.flag("paused", paused),
            rate=queue_rate(rate),
        )
        self.store.set_queue(checks.name("queue", name), settings)

    def migrate(self) -> Sequence[str]:
        """Create or upgrade the store's schema; return what was done, a line each.

        >>> from millrace import Millrace
        >>> Millrace("memory://").migrate()
        []
        """
        return self.store.migrate()


def _changed(answers: Sequence[Changed]) -> int:
    return sum(answer.changed for answer in answers)
