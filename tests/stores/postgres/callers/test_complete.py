"""`current_job().complete(connection=)` on PostgreSQL: effects and completion commit together, in every way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from millrace import Backoff, ConfigurationError, LeaseLost, Millrace, Worker, current_job
from tests.servers.databases import Database
from tests.stores.postgres.callers.test_enqueue import order, orders
from tests.stores.postgres.callers.ways import WAYS, Awaited, Psycopg, Way, with_driver
from tests.worker.waiting import eventually

ROOT = Path(__file__).resolve().parents[4]

PATIENCE = 30.0

ORDER = "insert into millrace_test.orders values ('book')"


# -- handlers without a loop, in each way


@pytest.fixture(
    params=[way for way in WAYS if not issubclass(way, Awaited)],
    ids=lambda way: way.__name__,
)
def plain_way(request: pytest.FixtureRequest, app: Millrace, postgres: Database) -> Iterator[Way]:
    assert app.depth() == 0
    make: type[Way] = request.param
    way = make(postgres.server)
    yield way
    way.close()


def test_effects_and_completion_commit_together(app: Millrace, plain_way: Way, postgres: Database) -> None:
    @app.task
    def work() -> str:
        order(plain_way, postgres)
        current_job().complete({"n": "ü"}, connection=plain_way.connection)
        assert job.refresh().state == "running"
        plain_way.commit()
        return "not stored"

    job = work.enqueue()

    assert app.drain() == {"completed": 1}
    assert (job.refresh().state, job.refresh().result, orders(postgres)) == ("completed", {"n": "ü"}, 1)


def test_what_is_rolled_back_is_a_failed_attempt(app: Millrace, plain_way: Way, postgres: Database) -> None:
    @app.task(max_attempts=1)
    def work() -> None:
        order(plain_way, postgres)
        current_job().complete(connection=plain_way.connection)
        plain_way.rollback()

    job = work.enqueue()
    app.drain()

    job = job.refresh()
    assert (job.state, orders(postgres)) == ("dead", 0)
    assert job.error is not None
    assert job.error.startswith("Uncommitted: complete(connection=…) was called")


def test_a_lost_lease_is_raised_so_that_the_handler_rolls_back(
    app: Millrace, plain_way: Way, postgres: Database
) -> None:
    @app.task(max_attempts=1)
    def work() -> None:
        app.store.rescue(retention=None, dead_retention=None, now=app.store.now() + 3_600_000_000)
        (taken,) = app.claim()
        app.complete(taken, "another's")
        order(plain_way, postgres)
        with pytest.raises(LeaseLost):
            current_job().complete("mine", connection=plain_way.connection)
        plain_way.rollback()

    job = work.enqueue()
    app.drain()

    assert (job.refresh().result, orders(postgres)) == ("another's", 0)


# -- handlers on an event loop

Handler = Callable[[str], Awaitable[None]]


async def on_asyncpg(url: str) -> None:
    connection: Any = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(ORDER)
            await current_job().complete({"n": 1}, connection=connection)
    finally:
        await connection.close()


async def on_psycopg(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(ORDER)
        await current_job().complete({"n": 1}, connection=connection)


async def on_session(url: str) -> None:
    engine = create_async_engine(with_driver(url, "asyncpg"))
    try:
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(sqlalchemy.text(ORDER))
            await current_job().complete({"n": 1}, connection=session)
    finally:
        await engine.dispose()


async def on_connection(url: str) -> None:
    engine = create_async_engine(with_driver(url, "psycopg"))
    try:
        async with engine.begin() as connection:
            await connection.execute(sqlalchemy.text(ORDER))
            await current_job().complete({"n": 1}, connection=connection)
    finally:
        await engine.dispose()


async def on_one_that_is_not_awaited(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(ORDER)
        await current_job().complete({"n": 1}, connection=connection)


HANDLERS: Sequence[Handler] = (on_asyncpg, on_psycopg, on_session, on_connection, on_one_that_is_not_awaited)


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
@pytest.mark.parametrize("drained", [False, True])
def test_an_async_handler_completes_with_its_effects(
    app: Millrace, postgres: Database, handler: Handler, *, drained: bool
) -> None:
    @app.task
    async def work() -> str:
        await handler(postgres.server)
        return "not stored"

    job = work.enqueue()
    if drained:
        assert app.drain() == {"completed": 1}
    else:
        worker = Worker(app, burst=True)
        worker.run()
        assert (worker.summary.lost, worker.summary.attempts) == (0, 1)

    assert (job.refresh().state, job.refresh().result, orders(postgres)) == ("completed", {"n": 1}, 1)


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_an_async_handler_whose_lease_is_lost_has_no_effects(
    app: Millrace, postgres: Database, handler: Handler
) -> None:
    @app.task(max_attempts=1)
    async def work() -> None:
        def take() -> None:
            app.store.rescue(retention=None, dead_retention=None, now=app.store.now() + 3_600_000_000)
            (taken,) = app.claim()
            app.complete(taken, "another's")

        await asyncio.to_thread(take)
        with pytest.raises(LeaseLost):
            await handler(postgres.server)

    job = work.enqueue()
    app.drain()

    assert (job.refresh().result, orders(postgres)) == ("another's", 0)


@pytest.mark.filterwarnings("ignore:coroutine 'Attempt._acomplete' was never awaited")
def test_a_completion_that_was_not_awaited_fails_the_attempt(app: Millrace, postgres: Database) -> None:
    @app.task(max_attempts=1)
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.server) as connection:
            current_job().complete(connection=connection)

    job = work.enqueue()
    app.drain()

    error = job.refresh().error
    assert error is not None
    assert error.endswith("and on an asynchronous connection await complete")


def test_a_refused_connection_leaves_the_attempt_as_it_was(app: Millrace, postgres: Database) -> None:
    @app.task(max_attempts=1)
    async def work() -> str:
        connection = await psycopg.AsyncConnection.connect(postgres.server)
        await connection.close()
        with pytest.raises(ConfigurationError, match="is closed; give one that is open"):
            await current_job().complete("mine", connection=connection)
        other = psycopg.connect(postgres.server)
        other.close()
        with pytest.raises(ConfigurationError, match="is closed; give one that is open"):
            current_job().complete("mine", connection=other)
        return "returned"

    job = work.enqueue()
    app.drain()

    assert (job.refresh().state, job.refresh().result) == ("completed", "returned")


def test_a_job_that_is_not_kept_goes_with_the_commit(app: Millrace, postgres: Database) -> None:
    way = Psycopg(postgres.server)

    @app.task(retention=0)
    def work() -> None:
        order(way, postgres)
        current_job().complete(connection=way.connection)
        way.commit()

    work.enqueue()

    assert app.drain() == {"completed": 1}
    assert (sum(app.counts().values()), orders(postgres)) == (0, 1)
    way.close()


def test_an_error_after_the_rollback_is_tried_again_and_has_its_effect_once(app: Millrace, postgres: Database) -> None:
    way = Psycopg(postgres.server)

    @app.task(retry=Backoff.fixed(0))
    def work() -> None:
        order(way, postgres)
        current_job().complete("done", connection=way.connection)
        if current_job().attempt == 1:
            way.rollback()
            raise ValueError("after all")
        way.commit()

    job = work.enqueue()

    assert app.drain() == {"completed": 1}
    assert (job.refresh().result, orders(postgres)) == ("done", 1)
    assert [each.error for each in app.attempts(job)] == ["ValueError: after all", None]
    way.close()


# -- other processes


@contextmanager
def another_process(database: Database, program: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """Run a program on the app of `effects`."""
    environment = {**os.environ, "MILLRACE_URL": database.url(), **variables}
    command = [sys.executable, "-c", f"from tests.stores.postgres.callers.effects import app; {program}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.mark.parametrize(("stop", "runs"), [("before", 2), ("after", 1)])
def test_a_killed_workers_effects_are_there_exactly_once(
    app: Millrace, postgres: Database, stop: str, runs: int
) -> None:
    pay = app.task(name="tests.stores.postgres.callers.effects.pay")(lambda stop: stop)
    job = pay.enqueue(stop)
    with another_process(postgres, "app.run_worker(concurrency=1)", EFFECTS_STOP="1") as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "reached\n"
        worker.kill()

    def taken_back() -> bool:  # once the server has noticed that the client is gone, and has let go of the row
        app.store.rescue(retention=None, dead_retention=None, now=app.store.now() + 3_600_000_000)
        return app.get(job).state != "running"

    eventually(taken_back)
    with another_process(postgres, "app.run_worker(burst=True)") as worker:
        assert worker.wait(PATIENCE) == 0

    told = app.get(job)
    assert (told.state, told.result, told.claim, orders(postgres)) == ("completed", "paid", runs, 1)


@pytest.mark.parametrize(
    ("kept", "state", "error"),
    [
        ("awaited", "completed", None),
        (
            "forgotten",
            "dead",
            "ConfigurationError: complete(connection=…) was called and never awaited; await it, then commit",
        ),
    ],
)
def test_an_async_handler_in_a_child_process_completes_where_it_awaits(
    app: Millrace, postgres: Database, kept: str, state: str, error: str | None
) -> None:
    pay = app.task(name="tests.stores.postgres.callers.effects.pay_apart")(lambda kept: kept)
    job = pay.using(max_attempts=1).enqueue(kept)
    with another_process(postgres, "app.run_worker(burst=True)") as worker:
        assert worker.wait(PATIENCE) == 0

    told = app.get(job)
    assert (told.state, told.error, orders(postgres)) == (state, error, 1)
    assert told.result == ("paid" if error is None else None)
