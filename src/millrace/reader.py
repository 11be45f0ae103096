"""The verbs that look. Owns reading jobs, counts, histories, queues and workers for users; changes nothing."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, cast
from uuid import UUID

from millrace import checks
from millrace.core import Core
from millrace.errors import ConfigurationError
from millrace.ids import as_id
from millrace.job import Job, JobOrigin, JobRow
from millrace.messages import JobFilter
from millrace.records import Attempt, LogLine, Page, QueueInfo, WorkerInfo
from millrace.states import JobState
from millrace.store import MAX_PAGE

__all__ = ["Id", "Reader", "States", "chosen", "read_states"]

Id = Job[Any] | UUID | str  #: what names a job: itself, its id, or the id's text
States = JobState | str | Iterable[JobState | str]  #: one state or several, by name or as `JobState`

_ITER_PAGE = 200


class Reader(Core):
    """What an app can tell. Every verb of it is awaitable under `app.aio`."""

    def view(self, row: JobRow) -> Job[Any]:
        """Make the job that users hold of a row."""
        return Job(row, cast("JobOrigin", self))

    def get(self, id: Id) -> Job[Any]:
        """Read one job as it is now.

        Raises:
            JobNotFound: No job has this id.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> ping = app.task(name="ping")(lambda: "pong")
        >>> app.get(ping.enqueue().id).task
        'ping'
        """
        return self.view(self.row_of(id))

    def list(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        unique_key: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Read one page of jobs, newest first, that match every filter given.

        Args:
            state: One state or several.
            queue: Its name.
            task: Its name.
            tag: One that the job has.
            unique_key: As it was given.
            limit: 1 to 1,000.
            cursor: `next_cursor` of the page before.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> ping = app.task(name="ping")(lambda: "pong")
        >>> first, second = ping.enqueue(), ping.enqueue()
        >>> page = app.list(state="pending", limit=1)
        >>> page.jobs == [second], app.list(limit=1, cursor=page.next_cursor).jobs == [first]
        (True, True)
        """
        where = chosen(state, queue=queue, task=task, tag=tag, unique_key=unique_key)
        rows, following = self.store.page(
            where, limit=checks.count("limit", limit, most=MAX_PAGE), cursor=_checked_cursor(cursor)
        )
        return Page([self.view(row) for row in rows], following)

    def iter(
        self,
        *,
        state: States | None = None,
        queue: str | None = None,
        task: str | None = None,
        tag: str | None = None,
        unique_key: str | None = None,
    ) -> Iterator[Job[Any]]:
        """Go through all jobs that match, newest first, a page at a time.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> ping = app.task(name="ping")(lambda: "pong")
        >>> jobs = app.enqueue_many([ping.job() for _ in range(3)])
        >>> len(list(app.iter(task="ping")))
        3
        """
        return chain.from_iterable(self.pages(chosen(state, queue=queue, task=task, tag=tag, unique_key=unique_key)))

    def pages(self, where: JobFilter) -> Iterator[builtins.list[Job[Any]]]:
        """Give the jobs that match, newest first, a page at a time."""
        cursor: str | None = None
        while True:
            rows, cursor = self.store.page(where, limit=_ITER_PAGE, cursor=cursor)
            yield [self.view(row) for row in rows]
            if cursor is None:
                return

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count jobs by state, all eight states named; `exact=False` may estimate where counting is slow.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> app.counts()[job.state]
        1
        """
        return self.store.counts(_queue_name(queue), exact=exact)

    def depth(self, queue: str | None = None) -> int:
        """Count the jobs that wait for a worker: pending ones, and due ones not promoted yet; paused queues too.

        >>> from millrace import Millrace
        >>> Millrace("memory://").depth()
        0
        """
        return self.store.depth(_queue_name(queue))

    def logs(self, id: Id) -> builtins.list[LogLine]:
        """Read what a job's handlers logged, oldest first.

        Raises:
            JobNotFound: No job has this id.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.logs(app.task(name="ping")(lambda: "pong").enqueue())
        []
        """
        lines = self.store.logs(as_id(id))
        if not lines:
            self.row_of(id)
        return [LogLine.of(line) for line in lines]

    def attempts(self, id: Id) -> builtins.list[Attempt]:
        """Read a job's attempts that have ended, oldest first, successes included; the newest 50 are kept.

        Raises:
            JobNotFound: No job has this id.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.attempts(app.task(name="ping")(lambda: "pong").enqueue())
        []
        """
        attempts = self.store.attempts(as_id(id))
        if not attempts:
            self.row_of(id)
        return [Attempt.of(attempt) for attempt in attempts]

    def queues(self) -> builtins.list[QueueInfo]:
        """Read every queue that has settings or jobs, by name, with its counts by state.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> app.set_queue("mail", priority=5)
        >>> [(queue.name, queue.priority) for queue in app.queues()]
        [('mail', 5)]
        """
        return self.store.queues()

    def workers(self) -> builtins.list[WorkerInfo]:
        """Read the workers that have reported themselves, oldest first.

        >>> from millrace import Millrace
        >>> Millrace("memory://").workers()
        []
        """
        return [WorkerInfo.of(worker) for worker in self.store.workers()]


def read_states(state: object) -> frozenset[JobState] | None:
    """Read one state or several as a set; None stays None.

    Raises:
        ConfigurationError: There is no such state.

    >>> sorted(read_states(["dead", JobState.FAILED]))
    [<JobState.DEAD: 'dead'>, <JobState.FAILED: 'failed'>]
    """
    if state is None:
        return None
    several = [state] if isinstance(state, str) or not isinstance(state, Iterable) else cast("Iterable[object]", state)
    try:
        return frozenset(JobState(cast("str", each)) for each in several)
    except ValueError as error:
        raise ConfigurationError(f"{error}; the states are {', '.join(JobState)}") from None


def chosen(
    state: States | None,
    *,
    queue: str | None = None,
    task: str | None = None,
    tag: str | None = None,
    unique_key: str | None = None,
    error: str | None = None,
    allowed: frozenset[JobState] | None = None,
) -> JobFilter:
    """Check the filters of a verb over many jobs; states beyond those `allowed` are passed over.

    >>> chosen("dead", allowed=frozenset({JobState.DEAD, JobState.FAILED})).states
    frozenset({<JobState.DEAD: 'dead'>})
    """
    states = read_states(state)
    return JobFilter(
        states=allowed if states is None else states if allowed is None else states & allowed,
        queue=_queue_name(queue),
        task=None if task is None else checks.name("task", getattr(task, "name", task)),
        tag=None if tag is None else checks.name("tag", tag),
        unique_key=None if unique_key is None else checks.name("unique_key", unique_key),
        error=None if error is None else checks.name("error", error),
    )


def _queue_name(queue: str | None) -> str | None:
    return None if queue is None else checks.name("queue", queue)


def _checked_cursor(cursor: object) -> str | None:
    if cursor is None or isinstance(cursor, str):
        return cursor
    raise ConfigurationError(f"cursor {cursor!r} is not text; give the next_cursor of a page, or None for the first")
