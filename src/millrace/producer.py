"""How a job gets into the store. Owns rows made from jobs, and jobs made from what the store told; waits for nothing.

This is the hot path of `enqueue`: one row, one insert, one `Job`, and as little as can be beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millrace import checks
from millrace.choices import template, unique_rule
from millrace.codec import encode_plain
from millrace.connections import is_async, refuse_async
from millrace.errors import ConfigurationError, DuplicateJob, NotSupported
from millrace.eventmaker import enqueued
from millrace.holder import any_held, held_on, hold, told_how_long, unknown_parent
from millrace.hooks import name_of, told_after
from millrace.ids import new_id
from millrace.job import HELD, Job
from millrace.messages import Existing, InsertAnswer, NewRow
from millrace.newjob import NewJob, unbound
from millrace.registry import TaskSpec
from millrace.ruled import refuse_twins, ruled_as, unkeyed
from millrace.store import AsyncCallerTransactions, CallerTransactions
from millrace.storedjob import stored

if TYPE_CHECKING:
    from millrace.app import Millrace

__all__ = ["Producer", "refused_if_taken", "stored"]

NONE_SHOWN: Final[Mapping[int, Existing]] = {}
_WHOLE = 500  #: up to so many jobs are stored all or not at all
_CHUNK = 2000  #: beyond, so many are stored at a time: about 10 ms for which other writers wait

#: Gives for rows what they are stored within, and the rows to store.
Surrounding = Callable[[Sequence[NewRow]], AbstractContextManager[Sequence[NewRow]]]

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
        self.hooked = False  #: whether anyone is to see each job before it is stored
        self.around: Surrounding | None = None  #: within which jobs are stored

    @property
    def app(self) -> Millrace:
        """Whose jobs it stores."""
        return self._app

    @property
    def max_payload(self) -> int:
        """The most bytes of arguments."""
        return self._app.max_payload

    def surround(self, around: Surrounding) -> None:
        """Store jobs within what a function gives for their rows, and as the rows that this gives: to trace them."""
        self.around = around
        self.hooked = True

    # -- one job

    def put(self, row: NewRow) -> Job[Any]:
        """Store one job."""
        if "asyncio" in _modules:
            self._look_for_loop()
        app = self._app
        if row.due is not None and row.due >= HELD:
            return self._put_rows([row])[0]
        told = app.bridge.insert(row)
        job = stored(row, told, app)
        if app.hooks.hears_enqueues and isinstance(told, int):
            app.hooks.tell([enqueued(job.row)])
        return self._ran(job) if app.eager else job

    async def aput(self, row: NewRow) -> Job[Any]:
        """Store one job, together with what other tasks store at the same time."""
        app = self._app
        if row.due is not None and row.due >= HELD:
            from millrace.threads import in_thread

            return (await told_after(app.hooks, in_thread, partial(self._put_rows, [row])))[0]
        told = await app.bridge.submit(row)
        job = stored(row, told, app)
        if app.hooks.hears_enqueues and isinstance(told, int):
            await app.hooks.atell([enqueued(job.row)])
        if app.eager:
            from millrace.eager import arun_due

            return await arun_due(app, job)
        return job

    def put_on(self, connection: object, rows: Sequence[NewRow]) -> list[Job[Any]]:
        """Store jobs on the caller's own connection, in the caller's transaction; nothing is committed.

        Raises:
            NotSupported: The store cannot, or the connection is not one of its database.
            ConfigurationError: The connection is closed, another thread's, must be awaited, or commits each statement
                by itself.
        """
        refuse_async(connection, "await task.aenqueue(…), app.aio.enqueue(…) or app.aio.enqueue_many(…)")
        store = self._joined()
        if any_held(rows):
            rows = told_how_long(self._app, rows)
            return self._all_stored(rows, held_on(store).hold_on(connection, rows))
        return self._all_stored(rows, store.insert_on(connection, rows))

    async def aput_on(self, connection: object, rows: Sequence[NewRow]) -> list[Job[Any]]:
        """Store jobs on the caller's own connection from async code, whether it is one that is awaited or not."""
        store = self._joined()
        if any_held(rows):
            rows = told_how_long(self._app, rows)
            return self._all_stored(rows, await held_on(store).ahold_on(connection, rows))
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
        job = self._seen(_checked(job))
        connection = job.choices.connection if connection is None else connection
        row = self.row_of(job)
        with self._within([row]) as rows:
            put = self.aput(rows[0]) if connection is None else self.aput_one_on(connection, rows[0])
            stored = await put
        return refused_if_taken(stored) if self._rejects(job) else stored

    def put_new(self, job: NewJob, connection: object = None) -> Job[Any]:
        """Store one new job, on the caller's connection where one is given or the job names one."""
        job = self._seen(_checked(job))
        connection = job.choices.connection if connection is None else connection
        row = self.row_of(job)
        with self._within([row]) as rows:
            stored = self.put(rows[0]) if connection is None else self.put_on(connection, rows)[0]
        return refused_if_taken(stored) if self._rejects(job) else stored

    def _within(self, rows: Sequence[NewRow]) -> AbstractContextManager[Sequence[NewRow]]:
        return nullcontext(rows) if self.around is None or not rows else self.around(rows)

    def _seen(self, job: NewJob) -> NewJob:
        """Let middleware see a job, and return the one that is to be stored."""
        if not self.hooked:
            return job
        for before in self._app.hooks.befores:
            seen: object = before(job)
            if isinstance(seen, NewJob):
                job = seen
            elif seen is not None:
                raise ConfigurationError(
                    f"{name_of(before)} returned {seen!r}; return a NewJob, or None to keep the one it was given"
                )
        return job

    def changed_row(self, row: NewRow) -> NewRow:
        """Let middleware see a job whose row is made already: a schedule's. Its id stays, whatever becomes of it."""
        if not self.hooked:
            return row
        job = unbound(unkeyed(row, self._app.registry.get(row.task)))
        seen = self._seen(job)
        if seen is job:
            return row
        made = msgspec.structs.replace(self.row_of(seen), id=row.id)
        return ruled_as(row, made) if seen.choices.unique_key is not None else made

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
            into = job.choices.into
            if spec is None:
                data = encode_plain(job.task, job.args, app.max_payload)
            else:
                encode = spec.arguments.encode_named if into is None else partial(spec.arguments.encode_without, into)
                data = encode(job.args, app.max_payload)
            row = _keyed(row, spec, job, data)
        if row.task not in app.registry.names and row.task not in self._unknown:
            self._tell_unknown(row.task)
        return NewRow(
            job.key or new_id(), row.task, row.queue, data, row.priority, row.delay, row.due, row.max_attempts,
            row.max_crashes, row.unique_key, row.tags, row.options, row.on_conflict, row.group,
        )  # fmt: skip

    def put_many(self, jobs: Iterable[NewJob], connection: object = None) -> list[Job[Any]]:
        """Store many jobs in order; all or none up to 500, in larger chunks beyond.

        Raises:
            PayloadError: The arguments of one do not fit; nothing was stored.
            DuplicateJob: One that rejects finds its key held; nothing was stored, or what a note tells.
        """
        made, connection = self._rows_of(jobs, connection)
        if connection is None and "asyncio" in _modules:
            self._look_for_loop()
        with self._within(made) as rows:
            done = self._put_rows(rows) if connection is None else self.put_on(connection, rows)
        return [self._ran(job) for job in done] if connection is None and self._app.eager else done

    async def aput_many(self, jobs: Iterable[NewJob], connection: object = None) -> list[Job[Any]]:
        """Store many jobs from async code, in a thread of its own, so that no single enqueue waits behind them."""
        from millrace.threads import in_thread

        made, connection = self._rows_of(jobs, connection)
        with self._within(made) as rows:
            if connection is not None:
                return await self.aput_on(connection, rows)
            done = await told_after(self._app.hooks, in_thread, partial(self._put_rows, rows))
        if not self._app.eager:
            return done
        from millrace.eager import arun_due

        return [await arun_due(self._app, job) for job in done]

    def _rows_of(self, jobs: Iterable[NewJob], connection: object) -> tuple[list[NewRow], object]:
        """Check all jobs before the first is stored, and find the connection that they agree on."""
        rows: list[NewRow] = []
        rejects = False
        for given in checks.items("jobs", jobs, "NewJobs"):
            job = self._seen(_checked(given))
            row = self.row_of(job)
            if row.unique_key is not None and self._rejects(job):
                row = msgspec.structs.replace(row, on_conflict="reject")
                rejects = True
            rows.append(row)
            own = job.choices.connection
            if own is not None and own is not connection:
                if connection is not None:
                    raise ConfigurationError("the jobs of one call name different connections; make a call for each")
                connection = own
        if rejects:
            refuse_twins(rows)
        return rows, connection

    def _put_rows(self, rows: Sequence[NewRow]) -> list[Job[Any]]:
        size = len(rows) if len(rows) <= _WHOLE else _CHUNK
        done: list[Job[Any]] = []
        for start in range(0, len(rows), size or 1):
            chunk = rows[start : start + size]
            shown: dict[int, Existing] = {}
            try:
                if any_held(chunk):
                    chunk = told_how_long(self._app, chunk)
                    answer, shown = hold(self._app, chunk)
                else:
                    answer = self._app.store.insert(chunk)
            except Exception as error:
                if start:
                    error.add_note(f"the first {start} of the {len(rows)} jobs were stored")
                raise
            done += self._all_stored(chunk, answer, start, shown)
            if self._app.hooks.hears_enqueues:
                self._tell_new(done[start:], answer)
        return done

    def _tell_new(self, jobs: Sequence[Job[Any]], answer: InsertAnswer) -> None:
        new = [enqueued(job.row) for place, job in enumerate(jobs) if place not in answer.existing]
        self._app.hooks.tell(new)

    def _all_stored(
        self,
        rows: Sequence[NewRow],
        answer: InsertAnswer,
        before: int = 0,
        shown: Mapping[int, Existing] = NONE_SHOWN,
    ) -> list[Job[Any]]:
        now, origin = answer.now, self._app
        existing = {**answer.existing, **shown} if shown else answer.existing
        if answer.unknown is not None:
            error = unknown_parent(origin, rows, answer.unknown)
            if before:
                error.add_note(f"the first {before} jobs of the call were stored")
            raise error
        if answer.refused is not None:
            try:
                refused_if_taken(stored(rows[answer.refused], existing[answer.refused], origin))
            except DuplicateJob as error:
                if before + answer.kept:
                    error.add_note(f"the first {before + answer.kept} jobs of the call were stored")
                raise
        if not existing:
            return [stored(row, now, origin) for row in rows]
        # a job of this very call may have been changed by a later one, which tells it as it now is
        holders = {there.row.id: there.row for there in existing.values() if there.by_key}
        return [
            Job(holders[row.id], origin)
            if index not in existing and row.id in holders
            else stored(row, existing.get(index, now), origin)
            for index, row in enumerate(rows)
        ]

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
    """Give a row the keys of the rules that hold for it, if any do."""
    rule = unique_rule(spec, job.choices)
    if spec is not None and spec.limits is not None:
        row = msgspec.structs.replace(row, group=spec.limits.group(spec.arguments, data, job.choices.key))
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
        DuplicateJob: Another job holds the key.
    """
    if job.duplicate:
        raise DuplicateJob(
            f"{job.task}: job {job.id} ({job.state}) has the same arguments and holds their key; wait until it is free,"
            " or cancel or delete that job",
            job,
        )
    return job


def _checked(job: object) -> NewJob:
    if isinstance(job, NewJob):
        return job
    raise ConfigurationError(f"{job!r} is not a NewJob; make one with task.job(…) or NewJob(name, args)")
