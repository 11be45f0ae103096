"""Where another transaction stands in the way: a unique key is waited for, and errors are those of the library."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
import pytest

from millrace import Millrace
from tests.servers.databases import Database
from tests.stores.postgres.callers.ways import Psycopg, SqlalchemyConnection, Way

PATIENCE = 30.0

WAITS = """select count(*) from pg_stat_activity
 where wait_event_type = 'Lock' and datname = current_database() and query like '%%insert into%%job%%'"""


@contextmanager
def once_it_waits(database: Database, end: Callable[[], None]) -> Generator[None]:
    """End another's transaction as soon as what is done meanwhile waits for it."""
    waited = False

    def watch() -> None:
        nonlocal waited
        until = time.monotonic() + PATIENCE
        with database.connect() as connection:
            while not waited and time.monotonic() < until:
                ((count,),) = connection.execute(WAITS)  # pyright: ignore[reportGeneralTypeIssues]
                waited = count > 0
        end()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert waited


@pytest.mark.parametrize("commits", [True, False])
def test_a_key_of_an_open_transaction_is_waited_for(
    app: Millrace, way: Way, postgres: Database, *, commits: bool
) -> None:
    task = app.task(name="add")(lambda a: a)
    other = Psycopg(postgres.server)
    first = other.enqueue(task, 1, unique_key="k")
    with once_it_waits(postgres, other.commit if commits else other.rollback):
        second = way.enqueue(task, 2, unique_key="k")
    way.commit()
    other.close()

    assert (second.duplicate, second.id == first.id) == (commits, commits)
    assert [job.args["a"] for job in app.list()] == [1 if commits else 2]


def test_an_enqueue_of_our_own_waits_for_the_callers_key_too(app: Millrace, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    other = Psycopg(postgres.server)
    first = other.enqueue(task, 1, unique_key="k")
    with once_it_waits(postgres, other.commit):
        second = task.using(unique_key="k").enqueue(2)
    other.close()

    assert (second.id, second.duplicate) == (first.id, True)


def test_the_callers_own_timeout_ends_the_waiting(app: Millrace, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    other, way = Psycopg(postgres.server), Psycopg(postgres.server)
    other.enqueue(task, 1, unique_key="k")
    way.execute("set local lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        way.enqueue(task, 2, unique_key="k")
    other.commit()
    way.rollback()
    for each in (other, way):
        each.close()

    assert [job.args["a"] for job in app.list()] == [1]


def test_a_snapshot_that_cannot_see_the_holder_is_the_callers_to_retry(app: Millrace, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    way = Psycopg(postgres.server)
    way.execute("set transaction isolation level repeatable read")
    way.execute("select 1")
    holder = task.using(unique_key="k").enqueue(1)
    with pytest.raises(psycopg.errors.SerializationFailure):
        way.enqueue(task, 2, unique_key="k")
    way.rollback()

    again = way.enqueue(task, 2, unique_key="k")
    way.close()
    assert (again.id, again.duplicate) == (holder.id, True)


def test_an_error_in_the_transaction_is_raised_as_its_library_has_it(app: Millrace, postgres: Database) -> None:
    import sqlalchemy.exc

    task = app.task(name="add")(lambda a: a)
    way = SqlalchemyConnection(postgres.server)
    with pytest.raises(sqlalchemy.exc.ProgrammingError):
        way.execute("select * from nothing_of_this_name")
    with pytest.raises(sqlalchemy.exc.InternalError):  # the transaction is aborted
        way.enqueue(task, 1)
    way.rollback()
    way.enqueue(task, 2)
    way.commit()
    way.close()

    assert [job.args["a"] for job in app.list()] == [2]
