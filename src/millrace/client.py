"""All sync verbs of an app in one class. Owns storing and waiting; the rest it inherits from its neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar, overload
from uuid import UUID

from millrace import checks
from millrace.consumer import Consumer
from millrace.ending import result_of, still_going
from millrace.job import Job
from millrace.newjob import NewJob
from millrace.producer import Producer
from millrace.reader import Id
from millrace.states import FINAL

__all__ = ["Client"]

R = TypeVar("R")


class Client(Consumer):
    """The sync verbs. `AsyncClient` mirrors every one of them."""

    producer: Producer  #: through which this app's jobs are stored

    def enqueue(self, job: NewJob, *, connection: object = None) -> Job[Any]:
        """Store one job and return it as it was stored.

        Args:
            job: Made by `task.job(...)` or by hand. A task that this app does not know is warned of, once.
            connection: The caller's own connection, in whose transaction the job is written; nothing is committed.

        Raises:
            PayloadError: The arguments do not fit the task, or have no form in JSON.
            NotSupported: The store cannot write on a caller's connection.
            StoreUnavailable: The store cannot be written; nothing was stored.

        >>> from millrace import Millrace, NewJob
        >>> app = Millrace("memory://")
        >>> ping = app.task(name="ping")(lambda: "pong")
        >>> app.enqueue(NewJob("ping", priority=5)).priority
        5
        """
        return self.producer.put_new(job, connection)

    def enqueue_many(self, jobs: Iterable[NewJob], *, connection: object = None) -> list[Job[Any]]:
        """Store jobs in the order given and return them in it: all or none up to 500, in larger chunks beyond.

        Args:
            jobs: Made by `task.job(...)` or by hand; all are checked before the first is stored.
            connection: The caller's own connection, in whose transaction all are written; nothing is committed.

        Raises:
            PayloadError: The arguments of one do not fit; nothing was stored.
            NotSupported: The store cannot write on a caller's connection.
            StoreUnavailable: The store cannot be written; a note says how many were stored where some were.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> square = app.task(name="square")(lambda n: n * n)
        >>> [job.args["n"] for job in app.enqueue_many([square.job(n) for n in range(3)])]
        [0, 1, 2]
        """
        return self.producer.put_many(jobs, connection)

    @overload
    def wait(self, id: Job[R], timeout: float | timedelta | None = None) -> Job[R]: ...
    @overload
    def wait(self, id: UUID | str, timeout: float | timedelta | None = None) -> Job[Any]: ...
    def wait(self, id: Id, timeout: float | timedelta | None = None) -> Job[Any]:
        """Wait until a job is completed, dead or cancelled, and return it. In async code await `app.aio.wait`.

        Args:
            id: Which job.
            timeout: The longest wait in seconds; None has no end.

        Raises:
            WaitTimeout: It had not ended in time. It goes on.
            JobNotFound: There is no such job, or it was deleted while it was waited for, as retention 0 does.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.cancel(app.task(name="ping")(lambda: "pong").enqueue())
        >>> app.wait(job, timeout=1).state.value
        'cancelled'
        """
        limit = checks.optional_duration("timeout", timeout)
        row = self.row_of(id)
        if row.state in FINAL:
            return self.view(row)
        try:
            ended = self.waiter.wait(row.id, limit)
        except TimeoutError:
            raise still_going(row, limit) from None
        if ended is None:
            raise self.not_found(row.id)
        return self.view(ended)

    @overload
    def result(self, job: Job[R], timeout: float | timedelta | None = None) -> R: ...
    @overload
    def result(self, job: UUID | str, timeout: float | timedelta | None = None) -> Any: ...
    def result(self, job: Id, timeout: float | timedelta | None = None) -> Any:
        """Wait for a job and return its result, as the type that its task is annotated to return.

        Where this app does not know the task, the result is a plain JSON value.

        Args:
            job: The job, or its id.
            timeout: The longest wait in seconds; None has no end.

        Raises:
            JobFailed: It ended dead or cancelled; the text has its error, `.job` is the job.
            WaitTimeout: It had not ended in time. It goes on.
            JobNotFound: There is no such job (any more).

        >>> from millrace import Millrace
        >>> app = Millrace("memory://", eager=True)
        >>> @app.task
        ... def add(a: int, b: int) -> int:
        ...     return a + b
        >>> app.result(add.enqueue(2, 3))
        5
        """
        return result_of(self.wait(job, timeout), self.registry)

    # -- what a Job asks of its app

    def refreshed(self, job: Job[R]) -> Job[R]:
        """Read a job again."""
        return self.get(job)

    async def arefreshed(self, job: Job[R]) -> Job[R]:
        """Read a job again, awaitable."""
        return await self.bridge.call(self.get, job)

    def waited(self, job: Job[R], timeout: float | timedelta | None) -> Job[R]:
        """Wait until a job has ended."""
        return self.wait(job, timeout)
