"""Connections of SQLAlchemy and Django on top of sqlite3: jobs come and go with their transactions too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import sqlalchemy
from django.conf import settings
from django.db import transaction
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from millrace.conformance.bench import ANN, KEPT, Bench
from millrace.errors import ConfigurationError, NotSupported
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.sqlite import SQLiteStore
from tests.stores.libraries import ALIAS, django_connection


@pytest.fixture
def engine(path: Path) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders(item TEXT)")
    yield engine
    engine.dispose()


@pytest.fixture
def django(path: Path) -> Iterator[Any]:
    with django_connection(ENGINE="django.db.backends.sqlite3", NAME=str(path)) as connection:
        yield connection


def orders(engine: sqlalchemy.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM orders").scalar_one())


def order(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("INSERT INTO orders VALUES ('book')")


def test_a_connection_of_sqlalchemy_commits_or_rolls_back_the_job(
    bench: Bench, store: SQLiteStore, engine: sqlalchemy.Engine
) -> None:
    lost, kept = bench.row(), bench.row()
    with engine.connect() as connection:
        store.insert_on(connection, [lost])
        order(connection)
        connection.rollback()
    with engine.begin() as connection:
        order(connection)
        store.insert_on(connection, [kept])

    assert [None, kept.id] == [row and row.id for row in store.get([lost.id, kept.id])]
    assert orders(engine) == 1


def test_a_job_alone_is_committed_by_sqlalchemys_commit(
    bench: Bench, store: SQLiteStore, engine: sqlalchemy.Engine
) -> None:
    row = bench.row()
    with engine.connect() as connection:
        store.insert_on(connection, [row])
        assert store.get([row.id]) == [None]
        connection.commit()

    assert bench.state(row.id) is JobState.PENDING


def test_a_session_of_sqlalchemy_is_taken_scoped_or_not(
    bench: Bench, store: SQLiteStore, engine: sqlalchemy.Engine
) -> None:
    plain, scoped, lost = bench.row(), bench.row(), bench.row()
    with Session(engine) as session:
        store.insert_on(session, [plain])
        session.commit()
        store.insert_on(session, [lost])
        session.rollback()
    sessions = scoped_session(sessionmaker(engine))
    store.insert_on(sessions, [scoped])
    sessions.commit()
    sessions.remove()

    assert [plain.id, scoped.id, None] == [row and row.id for row in store.get([plain.id, scoped.id, lost.id])]


def test_an_attempt_is_completed_in_a_session(bench: Bench, store: SQLiteStore, engine: sqlalchemy.Engine) -> None:
    bench.add()
    row = bench.take()
    with Session(engine) as session:
        assert store.finish_on(session, ANN, Outcome.completed(row, b"7", retention=KEPT))
        session.commit()

    assert (bench.job(row.id).state, bench.job(row.id).result) == (JobState.COMPLETED, b"7")


def test_what_of_sqlalchemy_is_no_open_transaction_is_refused(
    bench: Bench, store: SQLiteStore, engine: sqlalchemy.Engine
) -> None:
    closed = engine.connect()
    closed.close()
    with pytest.raises(ConfigurationError, match="is closed; give one that is open"):
        store.insert_on(closed, [bench.row()])
    with pytest.raises(NotSupported, match="Engine is no connection of SQLAlchemy's; give a Connection or a Session"):
        store.insert_on(engine, [bench.row()])
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(ConfigurationError, match="commits each statement by itself"),
    ):
        store.insert_on(connection, [bench.row()])
    other = sqlalchemy.create_engine("sqlite://")
    with other.connect() as connection, pytest.raises(NotSupported, match="a database in memory"):
        store.insert_on(connection, [bench.row()])
    other.dispose()

    assert sum(store.counts().values()) == 0


def test_djangos_connection_commits_or_rolls_back_the_job(bench: Bench, store: SQLiteStore, django: Any) -> None:
    lost, kept = bench.row(), bench.row()
    store.migrate()
    with transaction.atomic(using=ALIAS):
        store.insert_on(django, [lost])
        transaction.set_rollback(True, using=ALIAS)
    with transaction.atomic(using=ALIAS):
        store.insert_on(django, [kept])
        assert store.get([kept.id]) == [None]

    assert [None, kept.id] == [row and row.id for row in store.get([lost.id, kept.id])]


def test_djangos_connection_is_refused_outside_a_transaction(bench: Bench, store: SQLiteStore, django: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"enqueue within `with transaction\.atomic\(\):`"):
        store.insert_on(django, [bench.row()])
    with pytest.raises(NotSupported, match="is no connection of Django's"):
        store.insert_on(settings, [bench.row()])

    assert sum(store.counts().values()) == 0


# -- connections that are awaited, which have a thread of their own


Awaited = Callable[[Path], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def on_connection(path: Path) -> AsyncGenerator[Any]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@asynccontextmanager
async def on_session(path: Path) -> AsyncGenerator[Any]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


@asynccontextmanager
async def on_aiosqlite(path: Path) -> AsyncGenerator[Any]:
    async with aiosqlite.connect(path) as connection:
        yield connection


@pytest.mark.parametrize("opened", [on_connection, on_session, on_aiosqlite])
def test_an_awaited_connection_commits_or_rolls_back_jobs_and_completions(
    bench: Bench, store: SQLiteStore, path: Path, opened: Awaited
) -> None:
    bench.add()
    taken = bench.take()
    outcome = Outcome.completed(taken, b"7", retention=KEPT)
    lost, kept = bench.row(), bench.row()

    async def main() -> None:
        async with opened(path) as connection:
            await store.ainsert_on(connection, [lost])
            assert await store.afinish_on(connection, ANN, outcome)
            await connection.rollback()
            assert bench.state(taken.id) is JobState.RUNNING
            await store.ainsert_on(connection, [kept])
            assert await store.afinish_on(connection, ANN, outcome)
            assert store.get([kept.id]) == [None]
            await connection.commit()

    asyncio.run(main())

    assert [None, kept.id] == [row and row.id for row in store.get([lost.id, kept.id])]
    assert (bench.job(taken.id).state, bench.job(taken.id).result) == (JobState.COMPLETED, b"7")


def test_a_closed_connection_of_aiosqlite_is_refused(bench: Bench, store: SQLiteStore, path: Path) -> None:
    async def main() -> None:
        connection = await aiosqlite.connect(path)
        await connection.close()
        with pytest.raises(ConfigurationError, match="is closed, or not open yet; give one that is open"):
            await store.ainsert_on(connection, [bench.row()])

    asyncio.run(main())
    assert sum(store.counts().values()) == 0
