"""What joining a transaction costs the caller: few statements, one notice a queue, no savepoint, no commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection, sql
from sqlalchemy import event

from millrace import Millrace
from tests.servers.databases import Database
from tests.stores.postgres.callers.ways import AsyncSqlalchemySession, Psycopg, SqlalchemySession, Way

PATIENCE = 30.0


def statements(way: Any) -> list[str]:
    """Keep what SQLAlchemy sends from now on, by its first words."""
    seen: list[str] = []
    engine = getattr(way.engine, "sync_engine", way.engine)

    def keep(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(" ".join(statement.split()[:4]))

    event.listen(engine, "before_cursor_execute", keep)
    return seen


@pytest.mark.parametrize("make", [SqlalchemySession, AsyncSqlalchemySession])
def test_an_enqueue_is_two_statements_once_the_connection_is_known(
    app: Millrace, postgres: Database, make: type[Way]
) -> None:
    task = app.task(name="add")(lambda a: a)
    way = make(postgres.server)
    way.execute("select 1")
    seen = statements(way)
    way.enqueue(task, 1)
    way.enqueue(task, 2)
    way.enqueue_many(app, [task.job(n) for n in range(500)])
    way.commit()
    way.close()

    check, insert, notify = "select (select oid::bigint from", "with i as (", "select pg_notify("
    assert [next(word for word in (check, insert, notify) if each.startswith(word)) for each in seen] == [
        check, insert, notify, insert, notify, insert, notify,
    ]  # fmt: skip
    assert app.depth() == 502


def test_an_enqueue_is_one_statement_where_nobody_is_told(postgres: Database, app: Millrace) -> None:
    with Millrace(postgres.url(notify="off")) as quiet:
        task = quiet.task(name="add")(lambda a: a)
        way = SqlalchemySession(postgres.server)
        way.enqueue(task, 1)
        seen = statements(way)
        way.enqueue(task, 2)
        way.commit()
        way.close()

    assert ["with i as ("] == [each[: len("with i as (")] for each in seen]
    assert app.depth() == 2


@pytest.fixture
def listener(postgres: Database) -> Iterator[Connection[Any]]:
    with postgres.connect() as connection:
        connection.execute(sql.SQL("listen {}").format(sql.Identifier(f"millrace_{postgres.schema}")))
        yield connection


def heard(listener: Connection[Any]) -> list[str]:
    listener.execute("select 1")
    return sorted(notice.payload for notice in listener.notifies(timeout=0))


def test_the_commit_tells_of_each_queue_once(app: Millrace, way: Way, listener: Connection[Any]) -> None:
    task = app.task(name="add")(lambda a: a)
    app.task(name="held", unique=None)(lambda: None).using(unique_key="k").enqueue()
    wait_for(listener)
    for number in range(3):
        way.enqueue(task, number, queue="mail")
    way.enqueue_many(app, [task.using(queue=queue).job(1) for queue in ("mail", "b", "a", "b")])
    way.enqueue(task, 1, queue="duplicate", unique_key="k")
    assert heard(listener) == []
    way.commit()

    assert heard(listener) == ["a", "b", "mail"]
    way.enqueue(task, 9)
    way.rollback()
    assert heard(listener) == []


def wait_for(listener: Connection[Any]) -> None:
    """Wait for the notice of an enqueue that the store made by itself."""
    assert [notice.payload for notice in listener.notifies(timeout=PATIENCE, stop_after=1)] == ["default"]


def test_a_worker_elsewhere_is_woken_by_the_commit(app: Millrace, way: Way, postgres: Database) -> None:
    task = app.task(name="add")(lambda a: a)
    woken = threading.Event()
    with Millrace(postgres.url()) as elsewhere:
        subscription = elsewhere.store.watch(woken.set)
        woken.clear()
        way.enqueue(task, 1)
        way.commit()
        assert woken.wait(PATIENCE)
        subscription.close()


def test_no_savepoint_is_made(app: Millrace, postgres: Database) -> None:
    """A subtransaction would be seen by its lock."""
    task = app.task(name="add")(lambda a: a)
    way = Psycopg(postgres.server)
    way.enqueue(task, 1)
    ((transactions,),) = way.connection.execute(
        "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'transactionid'"
    )
    way.rollback()
    way.close()

    assert transactions == 1
