"""Middleware before an enqueue: it sees every job whatever the way in, may change or refuse it, and loses none."""

# ruff: noqa: ARG002 - hooks and handlers take what they are given

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from millrace import ConfigurationError, DuplicateJob, Middleware, Millrace, NewJob, PayloadError, Unique
from millrace.clock import SECOND
from millrace.hooks import Hooks
from millrace.middleware import hang_in
from millrace.stores import MemoryStore
from millrace.testing import ManualClock


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        app.task(name="add")(add)
        yield app


def add(a: int, b: int = 1) -> int:
    return a + b


class Seen(Middleware):
    """Remembers what it was shown, and adds to the priority."""

    def __init__(self, note: str = "", by: int = 1) -> None:
        self.note, self.by = note, by
        self.jobs: list[NewJob] = []

    def before_enqueue(self, job: NewJob) -> NewJob:
        self.jobs.append(job)
        return job.using(priority=(job.options.get("priority") or 0) * 10 + self.by)


async def test_every_way_in_is_seen_once(app: Millrace) -> None:
    seen = app.middleware(Seen())
    task: Any = app.task(name="other")(add)

    def enqueue() -> list[Any]:
        many = [NewJob("add", {"a": 1}), task.using(queue="low").job(1)]
        return [task.enqueue(1), app.enqueue(task.job(1)), *app.enqueue_many(many)]

    jobs = [
        *await asyncio.to_thread(enqueue),
        await task.aenqueue(1),
        await app.aio.enqueue(task.job(1)),
        *await app.aio.enqueue_many([task.job(1)]),
    ]

    assert [1] * 7 == [job.priority for job in jobs]
    assert [1] * 7 == [(await job.arefresh()).priority for job in jobs]
    assert ["other", "other", "add", "other", "other", "other", "other"] == [job.task for job in seen.jobs]
    assert [{"a": 1}] * 7 == [dict(job.args) for job in seen.jobs]
    assert "low" == jobs[3].queue


def test_the_first_one_registered_is_asked_first(app: Millrace) -> None:
    app.middleware(Seen(by=1))
    app.middleware(Seen(by=2))

    assert 12 == app.enqueue(NewJob("add", {"a": 1})).priority


def test_what_it_raises_reaches_the_caller_and_nothing_is_stored(app: Millrace) -> None:
    @app.middleware
    class Refuse:
        def before_enqueue(self, job: NewJob) -> None:
            if job.args["a"] < 0:
                raise LookupError("no such customer")

    task: Any = app.task(name="other")(add)
    with pytest.raises(LookupError, match="no such customer"):
        task.enqueue(-1)
    with pytest.raises(LookupError, match="no such customer"):
        app.enqueue_many([task.job(1), task.job(-1)])

    assert 0 == app.depth()
    assert 1 == task.enqueue(1).args["a"]


async def test_it_refuses_async_enqueues_too(app: Millrace) -> None:
    @app.middleware
    class Refuse:
        def before_enqueue(self, job: NewJob) -> None:
            raise LookupError("no such customer")

    with pytest.raises(LookupError, match="no such customer"):
        await app.aio.enqueue(NewJob("add", {"a": 1}))
    with pytest.raises(LookupError, match="no such customer"):
        await app.aio.enqueue_many([NewJob("add", {"a": 1})])
    assert 0 == await app.aio.depth()


def test_it_may_change_arguments_which_are_checked_like_any(app: Millrace) -> None:
    @app.middleware
    class Change:
        def before_enqueue(self, job: NewJob) -> NewJob:
            return job.using(args={**job.args, "b": job.args["b"] * 2})

    task: Any = app.task(name="other")(add)

    assert {"a": 1, "b": 6} == task.enqueue(1, 3).args
    with pytest.raises(PayloadError):
        app.enqueue(NewJob("add", {"a": 1, "b": "x"}))


def test_a_job_on_the_callers_own_connection_is_seen_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with Millrace(f"sqlite:///{path}") as app:
        task: Any = app.task(name="add")(add)
        seen = app.middleware(Seen())
        app.migrate()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            task.using(connection=connection).enqueue(1)
            app.enqueue_many([task.job(2)], connection=connection)
            connection.execute("ROLLBACK")

        assert 2 == len(seen.jobs)
        assert 0 == app.depth()


def test_a_rule_of_uniqueness_holds_for_the_job_as_it_was_changed(app: Millrace) -> None:
    @app.middleware
    class Alike:
        def before_enqueue(self, job: NewJob) -> NewJob:
            return job.using(args={"a": 1, "b": 1})

    task: Any = app.task(name="once", unique=Unique(on_conflict="reject"))(add)
    held = task.enqueue(5)

    with pytest.raises(DuplicateJob, match=str(held.id)):
        task.enqueue(6)


def test_an_id_that_was_given_is_kept(app: Millrace) -> None:
    app.middleware(Seen())
    id = uuid4()

    assert id == app.enqueue(NewJob("add", {"a": 1}, id=id)).id
    assert id == app.enqueue(NewJob("add", {"a": 1}, id=id)).id
    assert 1 == app.depth()


class Ticking:
    """An app whose schedule ticks each minute of a clock that is moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(start=1_800_000_000 * SECOND)
        self.app = Millrace(MemoryStore(clock=self.clock))
        tick: Any = self.app.task(name="tick")(add)
        other: Any = self.app.task(name="other")(add)
        job = tick.using(timeout=5, retention=None, max_attempts=2, unique_key="k", tags=["t"]).job(1)
        self.app.schedules.put("each minute", every=60, job=job)
        self.app.schedules.put("another", every=60, job=other.job(7))

    def minute(self) -> list[Any]:
        self.clock.advance(60)
        self.app.drain()
        return [job for job in self.app.list().jobs if job.created_at.timestamp() * 1e6 == self.clock.now()]


def test_the_job_of_a_tick_is_seen_and_may_be_changed_but_stays_the_ticks() -> None:
    ticking = Ticking()
    seen = ticking.app.middleware(Seen())

    jobs = ticking.minute()

    assert {"tick": 1, "other": 1} == {job.task: job.priority for job in jobs}
    (shown,) = [job for job in seen.jobs if job.task == "tick"]
    assert {"timeout": 5.0, "retention": None, "max_attempts": 2, "unique_key": "k", "tags": ("t",)}.items() <= (
        shown.options.items()
    )
    assert {str(shown.id)} == {str(job.id) for job in jobs if job.task == "tick"}
    assert ["completed"] * 2 == [job.state for job in jobs]


def test_a_tick_that_is_refused_stays_due_and_the_others_tick_on(caplog: pytest.LogCaptureFixture) -> None:
    ticking = Ticking()
    broken = [True]

    @ticking.app.middleware
    class Refuse:
        def before_enqueue(self, job: NewJob) -> None:
            if broken and job.task == "tick":
                raise LookupError("not now")

    assert ["other"] == [job.task for job in ticking.minute()]
    assert "schedule 'each minute' waits: before_enqueue refuses its job" in caplog.text
    assert "not now" in caplog.text
    broken.clear()
    ticking.app.drain()

    assert {"tick": "completed", "other": "completed"} == {job.task: job.state for job in ticking.app.list()}


def test_run_now_is_an_enqueue_like_any() -> None:
    ticking = Ticking()
    ticking.app.middleware(Seen(by=4))

    assert 4 == ticking.app.schedules.run_now("each minute").priority


def test_hooks_that_are_not_overridden_are_never_called() -> None:
    hooks = Hooks()
    hang_in(hooks, Seen())

    assert (1, 0, 0) == (len(hooks.befores), len(hooks.arounds), len(hooks.afters))


class NoHook:
    def start(self) -> None: ...


class Misspelt:
    def before_enqeue(self, job: NewJob) -> None: ...


class Asynchronous:
    async def before_enqueue(self, job: NewJob) -> None: ...


class Coroutine:
    async def around_attempt(self, context: object) -> None: ...


class Attribute:
    after_attempt = 3


class Needy:
    def __init__(self, level: int) -> None: ...

    def before_enqueue(self, job: NewJob) -> None: ...


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (NoHook, "has no hook; define before_enqueue, around_attempt or after_attempt"),
        (Misspelt, "has before_enqeue, which is no hook and never called; did you mean before_enqueue"),
        (Asynchronous, "Asynchronous.before_enqueue must be a plain function"),
        (
            Coroutine,
            "Coroutine.around_attempt is a coroutine; to wrap async handlers put @asynccontextmanager above it",
        ),
        (Attribute, "after_attempt=3, which cannot be called"),
        (Needy, "cannot be made without arguments"),
    ],
)
def test_what_can_be_no_middleware_is_refused(app: Millrace, given: object, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        app.middleware(given)
    assert text in str(caught.value)


def test_a_hook_that_returns_something_else_is_told_to_who_enqueues(app: Millrace) -> None:
    @app.middleware
    class Wrong:
        def before_enqueue(self, job: NewJob) -> object:
            return {"a": 1}

    with pytest.raises(ConfigurationError, match=r"Wrong.before_enqueue returned \{'a': 1\}; return a NewJob"):
        app.enqueue(NewJob("add", {"a": 1}))
    assert 0 == app.depth()
