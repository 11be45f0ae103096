"""How a job gets into the store. Owns rows made from jobs, and jobs made from what the store told; waits for nothing.

This is the hot path of `enqueue`: one row, one insert, one `Job`, and as little as can be beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from millrace import checks
from millrace.choices import template, unique_rule
from millrace.codec import encode_plain
from millrace.connections import is_async, refuse_async
from millrace.errors import ConfigurationError, DuplicateJob, NotSupported
from millrace.ids import new_id
from millrace.job import Job, JobOrigin, JobRow
from millrace.messages import InsertAnswer, NewRow
from millrace.newjob import NewJob
from millrace.queued import Told
from millrace.registry import TaskSpec
from millrace.states import JobState
from millrace.store import AsyncCallerTransactions, CallerTransactions

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["Producer", "refused_if_taken", "stored"]

_WHOLE = 500  #: up to so many jobs are stored all or not at all
_CHUNK = 2000  #: beyond, so many are stored at a time: about 10 ms for which other writers wait

_PENDING, _SCHEDULED = JobState.PENDING, JobState.SCHEDULED
_modules = sys.modules


class Producer:
    """Stores the jobs of one app.

    Args:
        app: Whose tasks, settings and store count.
    """

    def __init__(self, app: Millrace) -> None:
        self._app = app
        self._unknown: set[str] = set()
        self._blocked = False

    @property
    def app(self) -> Millrace:
        """Whose jobs it stores."""
        return self._app

    @property
    def max_payload(self) -> int:
        """The most bytes of arguments."""
        return self._app.max_payload

    # -- one job

    def put(self, row: NewRow) -> Job[Any]:
        """Store one job."""
        if "asyncio" in _modules:
            self._look_for_loop()
        app = self._app
        job = stored(row, app.bridge.insert(row), self._app)
        return self._ran(job) if app.eager else job

    async def aput(self, row: NewRow) -> Job[Any]:
        """Store one job, together with what other tasks store at the same time."""
        job = stored(row, await self._app.bridge.submit(row), self._app)
        if self._app.eager:
            from millrace.eager import arun_due

            return await arun_due(self._app, job)
        return job

    def put_on(self, connection: object, rows: Sequence[NewRow]) -> list[Job[Any]]:
        """Store jobs on the caller's own connection, in the caller's transaction; nothing is committed.

        Raises:
            NotSupported: The store cannot, or the connection is not one of its database.
            ConfigurationError: The connection is closed, another thread's, must be awaited, or commits each statement
                by itself.
        """
        refuse_async(connection, "await task.aenqueue(…), app.aio.enqueue(…) or app.aio.enqueue_many(…)")
        return self._all_stored(rows, self._joined().insert_on(connection, rows))

    async def aput_on(self, connection: object, rows: Sequence[NewRow]) -> list[Job[Any]]:
        """Store jobs on the caller's own connection from async code, whether it is one that is awaited or not."""
        store = self._joined()
        if isinstance(store, AsyncCallerTransactions):
            return self._all_stored(rows, await store.ainsert_on(connection, rows))
        if is_async(connection):
            raise NotSupported(
                f"{self._app.store.url} is written on synchronous connections alone, and "
                f"{type(connection).__qualname__} is none; enqueue on such a one, or after your commit"
            )
        return self._all_stored(rows, store.insert_on(connection, rows))

    async def aput_one_on(self, connection: object, row: NewRow) -> Job[Any]:
        """Store one job so."""
        return (await self.aput_on(connection, [row]))[0]

    def _joined(self) -> CallerTransactions:
        store: object = self._app.store
        if isinstance(store, CallerTransactions):
            return store
        raise NotSupported(
            f"{self._app.store.url} cannot write in a caller's transaction; use an SQLite store in the same file as "
            "your data or a PostgreSQL store in the same database, or enqueue after your commit"
        )

    async def aput_new(self, job: NewJob, connection: object = None) -> Job[Any]:
        """Store one new job from async code; see `put_new`."""
        connection = _checked(job).choices.connection if connection is None else connection
        row = self.row_of(job)
        stored = await (self.aput(row) if connection is None else self.aput_one_on(connection, row))
        return refused_if_taken(stored) if self._rejects(job) else stored

    def put_new(self, job: NewJob, connection: object = None) -> Job[Any]:
        """Store one new job, on the caller's connection where one is given or the job names one."""
        connection = _checked(job).choices.connection if connection is None else connection
        row = self.row_of(job)
        stored = self.put(row) if connection is None else self.put_on(connection, [row])[0]
        return refused_if_taken(stored) if self._rejects(job) else stored

    def _rejects(self, job: NewJob) -> bool:
        rule = unique_rule(self._app.registry.get(job.task), job.choices)
        return rule is not None and rule.rejects

    # -- many jobs

    def row_of(self, job: NewJob) -> NewRow:
        """Make the row of a job: bind and check its arguments where that is not done, and give it an id."""
        app = self._app
        row, data = job.row, job.data
        if row is None or data is None:
            spec = app.registry.get(job.task)
            row = template(job.task, spec, job.choices)
            if spec is None:
                data = encode_plain(job.task, job.args, app.max_payload)
            else:
                data = spec.arguments.encode_named(job.args, app.max_payload)
            row = _keyed(row, spec, job, data)
        if row.task not in app.registry.names and row.task not in self._unknown:
            self._tell_unknown(row.task)
        return NewRow(
            job.key or new_id(), row.task, row.queue, data, row.priority, row.delay, row.due, row.max_attempts,
            row.max_crashes, row.unique_key, row.tags, row.options,
        )  # fmt: skip

    def put_many(self, jobs: Iterable[NewJob], connection: object = None) -> list[Job[Any]]:
        """Store many jobs in order; all or none up to 500, in larger chunks beyond.

        Raises:
            PayloadError: The arguments of one do not fit; nothing was stored.
        """
        rows, connection = self._rows_of(jobs, connection)
        if connection is not None:
            return self.put_on(connection, rows)
        if "asyncio" in _modules:
            self._look_for_loop()
        done = self._put_rows(rows)
        return [self._ran(job) for job in done] if self._app.eager else done

    async def aput_many(self, jobs: Iterable[NewJob], connection: object = None) -> list[Job[Any]]:
        """Store many jobs from async code, in a thread of its own, so that no single enqueue waits behind them."""
        from millrace.threads import in_thread

        rows, connection = self._rows_of(jobs, connection)
        if connection is not None:
            return await self.aput_on(connection, rows)
        done = await in_thread(self._put_rows, rows)
        if not self._app.eager:
            return done
        from millrace.eager import arun_due

        return [await arun_due(self._app, job) for job in done]

    def _rows_of(self, jobs: Iterable[NewJob], connection: object) -> tuple[list[NewRow], object]:
        """Check all jobs before the first is stored, and find the connection that they agree on."""
        rows: list[NewRow] = []
        for job in checks.items("jobs", jobs, "NewJobs"):
            rows.append(self.row_of(_checked(job)))
            if connection is None and rows[-1].unique_key is not None and self._rejects(job):
                raise NotSupported(
                    f"enqueue_many cannot reject one job among many ({job!r}); enqueue it alone, or let Unique return "
                    "the holder and look at job.duplicate"
                )
            own = job.choices.connection
            if own is not None and own is not connection:
                if connection is not None:
                    raise ConfigurationError("the jobs of one call name different connections; make a call for each")
                connection = own
        return rows, connection

    def _put_rows(self, rows: Sequence[NewRow]) -> list[Job[Any]]:
        size = len(rows) if len(rows) <= _WHOLE else _CHUNK
        done: list[Job[Any]] = []
        for start in range(0, len(rows), size or 1):
            chunk = rows[start : start + size]
            try:
                answer = self._app.store.insert(chunk)
            except Exception as error:
                if start:
                    error.add_note(f"the first {start} of the {len(rows)} jobs were stored")
                raise
            done += self._all_stored(chunk, answer)
        return done

    def _all_stored(self, rows: Sequence[NewRow], answer: InsertAnswer) -> list[Job[Any]]:
        now, existing, origin = answer.now, answer.existing, self._app
        if not existing:
            return [stored(row, now, origin) for row in rows]
        return [stored(row, existing.get(index, now), origin) for index, row in enumerate(rows)]

    # -- beside the path

    def _ran(self, job: Job[Any]) -> Job[Any]:
        """Run what is due, as an eager app does, and return the job as it then is."""
        from millrace.eager import run_due

        return run_due(self._app, job)

    def _tell_unknown(self, task: str) -> None:
        from millrace.warned import warn_caller

        self._unknown.add(task)
        warn_caller(
            f"this app has no task {task!r}; the job is stored and waits for a worker that knows it "
            f"(known here: {', '.join(sorted(self._app.registry.names)[:10]) or 'none'})",
            UserWarning,
        )

    def _look_for_loop(self) -> None:
        """Warn once where a call that writes to a disk holds up an event loop."""
        if self._blocked:
            return
        events: Any = _modules.get("asyncio.events")
        if events is not None and events._get_running_loop() is not None:  # noqa: SLF001 - the one that costs 40 ns
            from millrace.warned import warn_caller

            self._blocked = True
            warn_caller(
                "enqueue waits for the store and so blocks the running event loop; in async code await "
                "task.aenqueue(…), app.aio.enqueue(…) or app.aio.enqueue_many(…). This is told once",
                RuntimeWarning,
            )


def _keyed(row: NewRow, spec: TaskSpec | None, job: NewJob, data: bytes) -> NewRow:
    """Give a row the key of the rule that holds for it, if one does."""
    rule = unique_rule(spec, job.choices)
    if rule is None:
        return row
    if spec is None:
        raise ConfigurationError(
            f"{rule!r} needs the parameters of {job.task!r}, which this app does not know; give unique_key='…' instead"
        )
    return msgspec.structs.replace(row, unique_key=rule.key(spec.name, spec.arguments, data))


def refused_if_taken(job: Job[Any]) -> Job[Any]:
    """Return a job that was stored; for one that was there already raise what a rule that rejects asks for.

    Raises:
        DuplicateJob: Another live job holds the key.
    """
    if job.duplicate:
        raise DuplicateJob(
            f"{job.task}: job {job.id} ({job.state}) has the same arguments and is alive; wait for it, or cancel it",
            job,
        )
    return job


def stored(row: NewRow, told: Told, origin: JobOrigin) -> Job[Any]:
    """Make the job of a row from what the store told about it."""
    if not isinstance(told, int):
        return Job(told.row, origin, duplicate=told.by_key)
    due = told + row.delay if row.due is None else row.due
    return Job(
        JobRow(
            0, row.id, row.task, row.queue, row.args, _PENDING if due <= told else _SCHEDULED, row.priority, due, told,
            0, row.max_attempts, 0, 0, row.max_crashes,
            unique_key=row.unique_key, tags=row.tags, options=row.options,
        ),
        origin,
    )  # fmt: skip


def _checked(job: object) -> NewJob:
    if isinstance(job, NewJob):
        return job
    raise ConfigurationError(f"{job!r} is not a NewJob; make one with task.job(…) or NewJob(name, args)")
