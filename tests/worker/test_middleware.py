"""Middleware around attempts: in threads, on the event loop, in child processes; and what it cannot break."""

# ruff: noqa: ARG001, ARG002 - hooks and handlers take what they are given

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from millrace import JobContext, Middleware, Millrace, current_job
from millrace.events import AttemptEnd, AttemptFailed, AttemptLost, JobCancelled, JobCompleted, JobReleased
from millrace.registry import TaskSpec
from millrace.worker.plan import Plan
from tests.worker import hookedtasks
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event, eventually

tenant: ContextVar[str] = ContextVar("tenant", default="none")


class Told(Middleware):
    """Writes down what it sees."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.notes: list[str] = []
        self.ends: list[AttemptEnd] = []

    @contextmanager
    def around_attempt(self, context: JobContext) -> Generator[None]:
        self.notes.append(f"{self.name} in {context.job.task}")
        try:
            yield
        except Exception as error:
            self.notes.append(f"{self.name} saw {error}")
            raise
        finally:
            self.notes.append(f"{self.name} out")

    def after_attempt(self, context: JobContext, event: AttemptEnd) -> None:
        assert context.job.id == event.job_id
        self.notes.append(f"{self.name} after")
        self.ends.append(event)


def test_the_first_one_is_the_outermost(memory_app: Millrace) -> None:
    outer = memory_app.middleware(Told("outer"))
    inner = memory_app.middleware(Told("inner"))
    inner.notes = outer.notes
    memory_app.task(name="ping")(lambda: outer.notes.append("run")).enqueue()

    memory_app.drain()

    assert outer.notes == [
        "outer in ping", "inner in ping", "run", "inner out", "outer out", "inner after", "outer after",
    ]  # fmt: skip


def test_a_context_variable_set_around_is_seen_in_a_thread_and_on_the_loop(app: Millrace, hire: Hire) -> None:
    @app.middleware
    class Tenant:
        def around_attempt(self, context: JobContext) -> Iterator[None]:
            token = tenant.set(context.job.args["name"])
            yield
            tenant.reset(token)

    @app.task
    def sync(name: str) -> str:
        return tenant.get()

    @app.task
    async def awaited(name: str) -> str:
        await asyncio.sleep(0)
        return await asyncio.to_thread(tenant.get)

    hire(app, concurrency=2)
    jobs = [task.enqueue(name) for name in ("a", "b", "c") for task in (sync, awaited)]

    assert [job.wait(PATIENCE).result for job in jobs] == ["a", "a", "b", "b", "c", "c"]


def test_an_async_one_wraps_async_handlers(app: Millrace, hire: Hire) -> None:
    notes: list[str] = []

    @app.middleware
    class Session:
        async def around_attempt(self, context: JobContext) -> AsyncIterator[None]:
            await asyncio.sleep(0)
            notes.append("open")
            yield
            await asyncio.sleep(0)
            notes.append("closed")

    @app.task
    async def awaited() -> int:
        return len(notes)

    @app.task(max_attempts=1)
    def sync() -> None:
        notes.append("never")

    hire(app)
    assert awaited.enqueue().wait(PATIENCE).result == 1
    assert notes == ["open", "closed"]
    error = sync.enqueue().wait(PATIENCE).error
    assert error is not None
    assert "gives an asynchronous context manager" in error
    assert notes == ["open", "closed"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_it_raises_fails_the_attempt_as_the_handler_would(memory_app: Millrace, where: str) -> None:
    ran: list[str] = []

    @memory_app.middleware
    class Broken:
        def around_attempt(self, context: JobContext) -> Iterator[None]:
            if where == "before":
                raise ValueError("no session")
            yield
            raise ValueError("no commit")

    job = memory_app.task(name="ping", max_attempts=3)(lambda: ran.append("ran")).enqueue()
    memory_app.drain()

    job = job.refresh()
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error == f"ValueError: {'no session' if where == 'before' else 'no commit'}"
    assert len(ran) == (where == "after")


def test_an_error_that_it_swallows_is_a_success_without_a_result(app: Millrace, hire: Hire) -> None:
    @app.middleware
    class Swallow:
        @contextmanager
        def around_attempt(self, context: JobContext) -> Generator[None]:
            try:
                yield
            except LookupError:
                context.log.warning("nothing there")

    @app.task
    def sync() -> int:
        raise LookupError

    @app.task
    async def awaited() -> int:
        raise LookupError

    hire(app)
    for task in (sync, awaited):
        job = task.enqueue().wait(PATIENCE)
        assert (job.state, job.result) == ("completed", None)
        assert [line.message for line in app.logs(job)] == ["nothing there"]


def test_something_that_is_no_context_manager_is_told(memory_app: Millrace) -> None:
    class Wrong:
        def around_attempt(self, context: JobContext) -> int:
            return 3

    memory_app.middleware(Wrong)
    job = memory_app.task(name="ping", max_attempts=1)(lambda: None).enqueue()
    memory_app.drain()

    assert "gives 3, which is no context manager" in (job.refresh().error or "")


def test_a_traceback_begins_with_the_handler(memory_app: Millrace) -> None:
    memory_app.middleware(Told())

    @memory_app.task(max_attempts=1)
    def fail() -> None:
        raise ValueError("no")

    job = fail.enqueue()
    memory_app.drain()

    traceback = memory_app.attempts(job)[0].traceback or ""
    assert "millrace/worker" not in traceback
    assert "in fail" in traceback


def test_a_child_process_runs_within_it_and_the_worker_hears_the_end(hire: Hire) -> None:
    hookedtasks.Within.ends.clear()
    with hookedtasks.app as app:
        hire(app, concurrency=1)
        sync, awaited = hookedtasks.sync.enqueue(), hookedtasks.awaited.enqueue()
        failing = hookedtasks.fail.enqueue()

        assert [job.wait(PATIENCE).result for job in (sync, awaited)] == ["within", "within"]
        assert failing.wait(PATIENCE).error == "ValueError: no, and within"
        ids = {sync.id, awaited.id, failing.id}  # the list is shared by every worker of that app in this process
        eventually(lambda: ids <= {event.job_id for event in hookedtasks.Within.ends})
        assert 3 == sum(event.job_id in ids for event in hookedtasks.Within.ends)


def test_a_child_process_that_lacks_it_runs_nothing(hire: Hire) -> None:
    with Millrace("memory://") as app:
        for spec in hookedtasks.app.registry:
            app.registry.add(spec)
        app.middleware(Told())
        app.middleware(Told())
        hire(app, concurrency=1)
        job = app.enqueue(hookedtasks.sync.using(max_attempts=1).job()).wait(PATIENCE)

    assert "within 2 middlewares, its child process finds 1" in (job.error or "")


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_after_that_fails_is_logged_and_changes_nothing(
    app: Millrace, hire: Hire, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    class Broken:
        def after_attempt(self, context: JobContext, event: AttemptEnd) -> None:
            raise kind("oh")

    app.middleware(told)
    app.middleware(Broken)

    @app.task
    async def awaited() -> int:
        return 2

    hire(app)
    jobs = [app.task(name="ping")(lambda: 1).enqueue(), awaited.enqueue()]

    assert [job.wait(PATIENCE).result for job in jobs] == [1, 2]
    eventually(lambda: len(told.ends) == 2)
    assert "after_attempt" in caplog.text


def test_after_tells_how_each_attempt_ends(app: Millrace, hire: Hire) -> None:
    told = app.middleware(Told())
    begun = threading.Event()

    @app.task
    def wait_for_cancel() -> None:
        context = current_job()
        begun.set()
        eventually(lambda: context.cancelled)
        context.check_cancelled()

    @app.task(max_attempts=2, retry=None)
    def fail() -> None:
        raise ValueError("no")

    hire(app)
    job = wait_for_cancel.enqueue()
    await_event(begun)
    app.cancel(job)
    job.wait(PATIENCE)
    fail.enqueue().wait(PATIENCE)

    cancelled, dead = told.ends
    assert isinstance(cancelled, JobCancelled)
    assert (cancelled.task, cancelled.attempt, cancelled.claim) == (job.task, 1, 1)
    assert (dead.task, getattr(dead, "error", None)) == (fail.name, "ValueError: no")


def test_after_is_told_of_an_attempt_that_is_given_back(app: Millrace, hire: Hire) -> None:
    told = app.middleware(Told())
    begun, go = threading.Event(), threading.Event()

    @app.task
    def deaf() -> None:
        begun.set()
        go.wait(PATIENCE)

    worker = hire(app)
    deaf.enqueue()
    await_event(begun)
    worker.stop(grace=0)
    go.set()

    (event,) = told.ends
    assert isinstance(event, JobReleased)


def test_after_is_told_of_a_lost_lease(staged: Millrace, stage: Any) -> None:
    told = staged.middleware(Told())

    @staged.task
    def lose(context: JobContext) -> None:
        row = context.job.row
        stage.inner.cancel([row.id], frozenset({"running"}), retention=None)
        stage.inner.rescue(retention=None, dead_retention=None, now=(row.lease or 0) + 1)
        context.progress(0.5)

    lose.enqueue()
    staged.drain()

    assert isinstance(told.ends[0], AttemptLost)


@pytest.mark.parametrize("commit", [True, False])
def test_after_a_completion_of_ones_own_it_is_told_what_is_true(tmp_path: Path, *, commit: bool) -> None:
    path = tmp_path / "jobs.db"
    with Millrace(f"sqlite:///{path}") as app:
        told = app.middleware(Told())

        @app.task
        def own() -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                current_job().complete(connection=connection)
                connection.execute("COMMIT" if commit else "ROLLBACK")

        own.enqueue()
        app.drain()

        assert [type(event) for event in told.ends] == [JobCompleted if commit else AttemptFailed]


def test_one_that_comes_while_a_worker_runs_holds_from_the_next_claim_on(app: Millrace, hire: Hire) -> None:
    @app.task
    def ping() -> str:
        return tenant.get()

    hire(app, concurrency=1, prefetch=0)
    assert ping.enqueue().wait(PATIENCE).result == "none"

    @app.middleware
    class Late:
        def around_attempt(self, context: JobContext) -> Iterator[None]:
            tenant.set("late")
            yield

    eventually(lambda: ping.enqueue().wait(PATIENCE).result == "late")


def test_without_middleware_a_handler_is_called_as_it_is() -> None:
    """It costs nothing then: the plan of a task has the very function."""
    assert Plan(TaskSpec("print", print, run_in="thread")).function is print


def test_a_job_with_terms_of_its_own_runs_within_it_too(memory_app: Millrace) -> None:
    told = memory_app.middleware(Told())
    ping = memory_app.task(name="ping")(lambda: None)
    ping.using(timeout=60).enqueue()
    memory_app.drain()

    assert told.notes == [" in ping", " out", " after"]


def test_the_after_of_an_attempt_is_logged_about_with_its_logger(
    memory_app: Millrace, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def after_attempt(self, context: JobContext, event: AttemptEnd) -> None:
            raise ValueError("oh")

    memory_app.middleware(Broken)
    memory_app.task(name="ping")(lambda: None).enqueue()
    with caplog.at_level(logging.ERROR, "millrace"):
        memory_app.drain()

    (record,) = [each for each in caplog.records if each.name == "millrace"]
    assert "Broken.after_attempt failed; the attempt has ended all the same" in record.getMessage()
