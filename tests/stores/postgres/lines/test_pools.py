"""A store on the caller's own pool: what it takes, what it gives back, and as what."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from millrace import Millrace, Worker
from millrace.conformance import StoreConformance
from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.store import Store
from millrace.stores import PostgresStore
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database

Pool = ConnectionPool[Any]

PATIENCE = 20.0  # seconds: bounds a failure
#: What a session may have been left with, and how it was made.
LEFT = """select current_setting('plan_cache_mode'), current_setting('statement_timeout'),
 current_setting('default_transaction_isolation'), (select count(*) from pg_listening_channels()),
 (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), pg_typeof(%s)::text"""
AS_MADE = ("auto", "4min", "repeatable read", 0, 0, "smallint")


def made(connection: psycopg.Connection[Any]) -> None:
    """Set a session as a caller might."""
    connection.execute("set statement_timeout = '4min'; set default_transaction_isolation = 'repeatable read'")
    connection.commit()


@pytest.fixture
def pool(postgres: Database) -> Iterator[Pool]:
    """A pool of six connections at most, none of which is there before it is needed."""
    with Pool(postgres.server, min_size=0, max_size=6, configure=made) as opened:
        yield opened


def store_on(pool: Pool, postgres: Database, **options: Any) -> PostgresStore:
    return PostgresStore(pool=pool, schema=postgres.schema, **options)


def all_as_made(pool: Pool) -> bool:
    """Take every connection there may be, and look at it."""
    taken = [pool.getconn(timeout=PATIENCE) for _ in range(pool.max_size)]
    try:
        seen = {
            (*connection.execute(LEFT, [1]).fetchall()[0], connection.autocommit, connection.prepare_threshold)
            for connection in taken
        }
    finally:
        for connection in taken:
            pool.putconn(connection)
    return seen == {(*AS_MADE, False, 5)}


def test_a_producer_has_a_connection_only_while_it_writes(postgres: Database) -> None:
    with (
        ConnectionPool(postgres.server, min_size=1, max_size=1) as pool,
        Millrace(PostgresStore(pool=pool, schema=postgres.schema)) as app,
    ):
        task = app.task(name="one")(print)
        for _ in range(3):
            job = task.enqueue()
            with pool.connection(timeout=PATIENCE) as mine:  # the only one there is
                assert mine.execute("select 1").fetchone() == (1,)
            assert app.get(job.id).state == "pending"


def test_a_worker_keeps_five_and_all_come_back_as_they_were(pool: Pool, postgres: Database) -> None:
    with Millrace(store_on(pool, postgres)) as app:
        ran: list[int] = []
        held, go_on = threading.Event(), threading.Event()

        @app.task
        def hold(number: int) -> None:
            ran.append(number)
            held.set()
            assert go_on.wait(PATIENCE)

        with Worker(app, concurrency=2):
            hold.enqueue(1)
            assert held.wait(PATIENCE)
            assert pool.get_stats()["pool_size"] - pool.get_stats()["pool_available"] <= 5
            with pool.connection(timeout=PATIENCE) as mine:
                assert mine.execute("select 1").fetchone() == (1,)
            go_on.set()
            hold.enqueue(2).wait(PATIENCE)
        assert sorted(ran) == [1, 2]
    assert all_as_made(pool)


def test_a_wait_for_a_job_leaves_no_ears_behind(pool: Pool, postgres: Database) -> None:
    with Millrace(store_on(pool, postgres)) as app, Millrace(postgres.url()) as other:
        task = app.task(name="told")(print)
        job = task.enqueue()
        waiter = threading.Thread(target=lambda: app.wait(job, timeout=PATIENCE))
        waiter.start()
        (claimed,) = other.claim(tasks=["told"])
        other.complete(claimed)
        waiter.join(PATIENCE)
        assert not waiter.is_alive()
    assert all_as_made(pool)


def test_a_pool_with_none_left_is_said_to_be_that(postgres: Database) -> None:
    with (
        ConnectionPool(postgres.server, min_size=1, max_size=1) as pool,
        Millrace(PostgresStore(pool=pool, schema=postgres.schema, connect_deadline=0.05)) as app,
        pool.connection(timeout=PATIENCE),
        pytest.raises(StoreUnavailable, match=r"couldn't get a connection after 0\.05 sec"),
    ):
        app.task(name="one")(print).enqueue()


def test_a_connection_that_is_lost_is_not_given_out_again(pool: Pool, postgres: Database) -> None:
    with Millrace(store_on(pool, postgres)) as app:
        task = app.task(name="one")(print)
        task.enqueue()
        postgres.run("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
        task.enqueue()
        assert app.depth() == 2


def test_a_fork_is_refused(pool: Pool, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_on(pool, postgres)
    try:
        here = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: here + 1)
        with pytest.raises(ConfigurationError, match="make pool and store after the fork"):
            store.migrate()
    finally:
        monkeypatch.undo()
        store.close()


def test_what_is_no_pool_for_threads_is_refused(postgres: Database) -> None:
    pool = AsyncConnectionPool(postgres.server, open=False)
    with pytest.raises(ConfigurationError, match=r"AsyncConnectionPool is for an event loop alone.*ConnectionPool"):
        PostgresStore(pool=pool)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="has no getconn and putconn"):
        PostgresStore(pool=7)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    for both in ({}, {"url": "postgresql://", "pool": pool}):
        with pytest.raises(ConfigurationError, match="either a URL or pool="):
            PostgresStore(**both)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_store_shows_where_its_pool_leads_and_no_password() -> None:
    pool = ConnectionPool("host=db.example user=ada password=secret dbname=shop port=6000", open=False)
    assert PostgresStore(pool=pool).url == "postgresql://ada@db.example:6000/shop"


class TestStoreOnAPool(StoreConformance):
    """All that is promised holds on connections that others have had, and on few of them."""

    @pytest.fixture(autouse=True)
    def empty_schema(self, pool: Pool, postgres: Database) -> None:
        self.pool, self.database = pool, postgres

    def make_store(self, clock: ManualClock) -> Store:
        return PostgresStore(pool=self.pool, schema=self.database.schema, clock=clock)
