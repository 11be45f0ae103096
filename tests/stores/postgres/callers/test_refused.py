"""What cannot be a caller's transaction is refused with a sentence, and the caller's own work stays as it is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from django.db import transaction
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from millrace import ConfigurationError, Millrace, NewJob, NotSupported
from millrace.store import AsyncCallerTransactions
from tests.servers.cluster import DATABASE, Cluster
from tests.servers.databases import Database
from tests.stores.libraries import ALIAS
from tests.stores.postgres.callers.ways import WAYS, Django, Psycopg, SqlalchemyConnection, Way, with_driver

JOB = NewJob("add", {"a": 1})


@pytest.fixture(autouse=True)
def nothing_is_stored(app: Millrace) -> Iterator[None]:
    """See that no refusal of this file has stored a job."""
    app.task(name="add")(lambda a: a)
    yield
    assert sum(app.counts().values()) == 0


def test_the_store_says_that_it_can(app: Millrace) -> None:
    assert isinstance(app.store, AsyncCallerTransactions)


# -- each statement committed by itself


def test_psycopg_in_autocommit_is_refused_outside_a_transaction(app: Millrace, postgres: Database) -> None:
    with psycopg.connect(postgres.server, autocommit=True) as connection:
        with pytest.raises(ConfigurationError, match=r"do it within `with connection\.transaction\(\):`"):
            app.enqueue(JOB, connection=connection)
        with connection.transaction(force_rollback=True):
            app.enqueue(JOB, connection=connection)


def test_psycopg_awaited_in_autocommit_is_refused_outside_a_transaction(app: Millrace, postgres: Database) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.server, autocommit=True) as connection:
            with pytest.raises(ConfigurationError, match="no transaction is open"):
                await app.aio.enqueue(JOB, connection=connection)
            async with connection.transaction(force_rollback=True):
                await app.aio.enqueue(JOB, connection=connection)

    asyncio.run(main())


def test_asyncpg_is_refused_outside_a_transaction(app: Millrace, postgres: Database) -> None:
    async def main() -> None:
        connection: Any = await asyncpg.connect(postgres.server)
        with pytest.raises(ConfigurationError, match=r"do it within `async with connection\.transaction\(\):`"):
            await app.aio.enqueue(JOB, connection=connection)
        await connection.close()

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sqlalchemy_in_autocommit_is_refused(app: Millrace, postgres: Database, driver: str) -> None:
    async def main() -> None:
        engine = create_async_engine(with_driver(postgres.server, driver), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            with pytest.raises(ConfigurationError, match="has the isolation level AUTOCOMMIT"):
                await app.aio.enqueue(JOB, connection=connection)
        await engine.dispose()

    asyncio.run(main())


def test_django_is_refused_outside_a_transaction(app: Millrace, postgres: Database) -> None:
    way = Django(postgres.server)
    way.leave()
    with pytest.raises(ConfigurationError, match=r"enqueue within `with transaction\.atomic\(\):`"):
        app.enqueue(JOB, connection=way.connection)
    with transaction.atomic(using=ALIAS):
        app.enqueue(JOB, connection=way.connection)
        transaction.set_rollback(True, using=ALIAS)
    way.shut()


# -- closed


@pytest.mark.parametrize("make", [Psycopg, SqlalchemyConnection])
def test_a_closed_connection_is_refused(app: Millrace, postgres: Database, make: type[Way]) -> None:
    way = make(postgres.server)
    way.close()
    with pytest.raises(ConfigurationError, match="is closed; give one that is open"):
        way.enqueue_one(app, JOB)


def test_a_closed_connection_of_asyncpg_is_refused(app: Millrace, postgres: Database) -> None:
    async def main() -> None:
        connection: Any = await asyncpg.connect(postgres.server)
        await connection.close()
        with pytest.raises(ConfigurationError, match="is closed; give one that is open"):
            await app.aio.enqueue(JOB, connection=connection)

    asyncio.run(main())


def test_what_is_not_open_any_more_or_not_yet_is_refused(app: Millrace, postgres: Database) -> None:
    async def main() -> None:
        engine = create_async_engine(with_driver(postgres.server, "asyncpg"))
        closed = await engine.connect()
        await closed.close()
        session = AsyncSession(engine, close_resets_only=False)
        await session.close()
        pool: Any = await asyncpg.create_pool(postgres.server, min_size=0)
        lent = await pool.acquire()
        await pool.release(lent)
        for given, sentence in (
            (closed, "the Connection of SQLAlchemy is closed; give one that is open"),
            (engine.connect(), "the AsyncConnection of SQLAlchemy is not open yet"),
            (session, "permanently closed .*; give one that is open"),
            (lent, "the connection of asyncpg is closed; give one that is open"),
        ):
            with pytest.raises(ConfigurationError, match=sentence):
                await app.aio.enqueue(JOB, connection=given)
        await pool.close()
        await engine.dispose()

    asyncio.run(main())


# -- no connection, or not of the kind


def test_what_is_no_connection_is_refused(app: Millrace, postgres: Database) -> None:
    engine = sqlalchemy.create_engine(with_driver(postgres.server, "psycopg"))
    with (
        psycopg.connect(postgres.server) as connection,
        connection.cursor() as cursor,
        closing(sqlite3.connect(":memory:")) as lite,
    ):
        for given, sentence in (
            (cursor, r"Cursor of psycopg is no connection; give its connection, cursor\.connection"),
            (engine, r"Engine is no connection of SQLAlchemy's; give a Connection or a Session"),
            (lite, r"Connection is no connection to a PostgreSQL server; give a connection of psycopg, asyncpg"),
            ("a text", "str is no connection to a PostgreSQL server"),
            (transaction, "is no connection"),
        ):
            with pytest.raises(NotSupported, match=sentence):
                app.enqueue(JOB, connection=given)
    engine.dispose()


def test_what_is_no_connection_is_refused_in_async_code_too(app: Millrace, postgres: Database) -> None:
    async def main() -> None:
        engine = create_async_engine(with_driver(postgres.server, "asyncpg"))
        pool: Any = await asyncpg.create_pool(postgres.server, min_size=0)
        async with await psycopg.AsyncConnection.connect(postgres.server) as connection, connection.cursor() as cursor:
            for given, sentence in (
                (cursor, "AsyncCursor of psycopg is no connection; give its connection"),
                (engine, "AsyncEngine is no connection of SQLAlchemy's"),
                (pool, r"Pool of asyncpg is no connection; give one, such as `async with pool\.acquire\(\)"),
            ):
                with pytest.raises(NotSupported, match=sentence):
                    await app.aio.enqueue(JOB, connection=given)
        await pool.close()
        await engine.dispose()

    asyncio.run(main())


def test_an_asynchronous_connection_is_refused_where_nothing_is_awaited(app: Millrace, postgres: Database) -> None:
    async def main() -> None:
        task = app.task(name="other")(lambda: None)
        async with await psycopg.AsyncConnection.connect(postgres.server) as connection:
            for call in (
                task.using(connection=connection).enqueue,
                lambda: app.enqueue(JOB, connection=connection),
                lambda: app.enqueue_many([JOB], connection=connection),
            ):
                with pytest.raises(ConfigurationError, match=r"is an asynchronous .* await task\.aenqueue"):
                    call()

    asyncio.run(main())


# -- another database


@pytest.mark.parametrize("make", WAYS, ids=lambda way: way.__name__)
def test_a_connection_to_another_database_is_refused_and_its_transaction_goes_on(
    app: Millrace, postgres: Database, make: type[Way]
) -> None:
    if not postgres.run("select 1 from pg_database where datname = 'millrace_other'"):
        postgres.run("create database millrace_other")
    way = make(postgres.server.rpartition("/")[0] + "/millrace_other")
    for _ in range(2):
        with pytest.raises(NotSupported, match="is to database 'millrace_other' of the same server, the store's is"):
            way.enqueue_one(app, JOB)
    way.execute("create table kept ()")
    way.rollback()
    way.close()


def test_a_connection_to_another_server_is_refused(app: Millrace, postgres: Database, cluster: Cluster) -> None:
    assert postgres.server.endswith(f"/{DATABASE}")
    way = Psycopg(cluster.url())
    with pytest.raises(NotSupported, match=f"database '{DATABASE}' of another server, the store's is '{DATABASE}'"):
        way.enqueue_one(app, JOB)
    way.close()


def test_a_restart_while_the_servers_are_compared_is_told_by_the_callers_own_library(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Millrace(cluster.url(schema="compared")) as app, psycopg.connect(cluster.url()) as connection:
        app.task(name="add")(lambda a: a)
        store: Any = app.store
        ask = store._ask_own

        def restart_and_ask() -> tuple[Any, ...]:
            cluster.restart()
            asked: tuple[Any, ...] = ask()
            return asked

        app.migrate()
        monkeypatch.setattr(store, "_own", (*ask()[:1], 0, DATABASE))  # of a start before this one
        monkeypatch.setattr(store, "_ask_own", restart_and_ask)
        with pytest.raises(psycopg.OperationalError):
            app.enqueue(JOB, connection=connection)


def test_sqlalchemy_on_another_kind_of_database_is_refused(app: Millrace) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with (
        engine.connect() as connection,
        pytest.raises(NotSupported, match=r"is on sqlite\+pysqlite, which this store cannot join"),
    ):
        app.enqueue(JOB, connection=connection)
    engine.dispose()
