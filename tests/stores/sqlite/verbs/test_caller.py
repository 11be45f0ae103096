"""Jobs in the caller's own transaction: they come and go with it, and nothing of the caller's is disturbed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace.conformance.bench import ANN, BEN, ENDINGS, KEPT, Bench
from millrace.errors import ConfigurationError, NotSupported, SchemaMismatch, StoreUnavailable
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.store import CallerTransactions, Store
from millrace.stores.sqlite import SQLiteStore


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as users make it, with a table of their own."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)")
    yield connection
    connection.close()


def orders(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("SELECT item FROM orders ORDER BY id").fetchall()


def test_the_store_says_that_it_can(store: SQLiteStore) -> None:
    as_store: Store = store
    assert isinstance(as_store, CallerTransactions)


def test_a_job_is_there_once_the_caller_commits(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    row = bench.row(tags=("a",), args=b'"' + b"x" * 5000 + b'"')
    store.migrate()
    with connection:
        connection.execute("INSERT INTO orders(item) VALUES('book')")
        assert store.insert_on(connection, [row]).existing == {}
        assert store.get([row.id]) == [None]

    assert orders(connection) == [("book",)]
    assert row.args == bench.job(row.id).args
    assert row.tags == bench.job(row.id).tags


def test_a_job_is_gone_with_the_callers_rollback_and_so_is_its_lane(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    lost, kept = bench.row(task="new", queue="new"), bench.row(task="new", queue="new")
    store.insert_on(connection, [lost])
    connection.rollback()
    bench.add(task="other", queue="other")  # takes the number of the lane that was rolled back
    store.insert([kept])

    assert store.get([lost.id]) == [None]
    assert (bench.job(kept.id).queue, bench.job(kept.id).task) == ("new", "new")
    assert [kept.id] == [row.id for row in bench.claim(queues=("new",))]


def test_without_an_open_transaction_one_is_begun_as_sqlite3_would(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    row = bench.row()
    store.insert_on(connection, [row])

    assert connection.in_transaction
    assert store.get([row.id]) == [None]
    connection.commit()
    assert bench.state(row.id) is JobState.PENDING


def test_a_connection_that_commits_by_itself_is_refused_outside_a_transaction(
    bench: Bench, store: SQLiteStore, path: Path
) -> None:
    row = bench.row()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(ConfigurationError, match="BEGIN IMMEDIATE"):
            store.insert_on(connection, [row])
        connection.execute("BEGIN")
        store.insert_on(connection, [row])
        connection.execute("COMMIT")

    assert bench.state(row.id) is JobState.PENDING


def test_a_connection_to_another_database_is_refused(bench: Bench, store: SQLiteStore, tmp_path: Path) -> None:
    bench.add()
    for name in (tmp_path / "other.db", ":memory:", ""):
        with closing(sqlite3.connect(name)) as connection, pytest.raises(NotSupported, match="one file"):
            store.insert_on(connection, [bench.row()])
    with pytest.raises(NotSupported, match=r"give a sqlite3\.Connection"):
        store.insert_on(object(), [bench.row()])


def test_the_same_file_by_another_name_is_accepted(bench: Bench, store: SQLiteStore, path: Path) -> None:
    bench.add()
    link = path.with_name("link.db")
    link.symlink_to(path)
    row = bench.row()
    with closing(sqlite3.connect(link)) as connection, connection:
        store.insert_on(connection, [row])

    assert bench.state(row.id) is JobState.PENDING


def test_the_tables_are_made_before_the_callers_transaction_begins(
    store: SQLiteStore, bench: Bench, connection: sqlite3.Connection
) -> None:
    row = bench.row()
    with connection:
        store.insert_on(connection, [row])

    assert bench.state(row.id) is JobState.PENDING


def test_a_new_process_may_begin_within_a_transaction_that_holds_the_lock(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection, path: Path
) -> None:
    bench.add()
    row = bench.row()
    fresh = SQLiteStore(path, synchronous="normal")
    with connection:
        connection.execute("INSERT INTO orders(item) VALUES('book')")
        fresh.insert_on(connection, [row])
    fresh.close()

    assert store.get([row.id])[0] is not None


def test_tables_that_are_missing_cannot_be_made_within_the_callers_transaction(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    connection.execute("INSERT INTO orders(item) VALUES('book')")
    with pytest.raises(ConfigurationError, match="call migrate"):
        store.insert_on(connection, [bench.row()])
    connection.commit()

    assert orders(connection) == [("book",)]


def test_tables_of_a_newer_version_are_refused(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    bench.add()
    with connection:
        connection.execute("UPDATE millrace_meta SET value='99' WHERE key IN ('schema', 'min_reader')")
    connection.execute("INSERT INTO orders(item) VALUES('book')")
    with pytest.raises(SchemaMismatch, match="99"):
        store.insert_on(connection, [bench.row()])


def test_a_duplicate_is_told_and_does_no_harm(bench: Bench, store: SQLiteStore, connection: sqlite3.Connection) -> None:
    holder = bench.add(unique_key="k")
    with connection:
        connection.execute("INSERT INTO orders(item) VALUES('book')")
        answer = store.insert_on(connection, [bench.row(unique_key="k"), bench.row()])

    assert {0: holder} == {index: existing.row.id for index, existing in answer.existing.items()}
    assert orders(connection) == [("book",)]
    assert sum(store.counts().values()) == 2


def test_a_failing_insert_takes_nothing_of_the_callers_with_it(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    store.migrate()
    with connection:
        connection.execute("INSERT INTO orders(item) VALUES('book')")
        with pytest.raises(OverflowError):
            store.insert_on(connection, [bench.row(), bench.row(priority=2**70)])

    assert orders(connection) == [("book",)]
    assert sum(store.counts().values()) == 0


def test_rows_and_texts_are_read_as_ours_and_the_callers_factories_stay(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    connection.row_factory = sqlite3.Row
    connection.text_factory = bytes
    bench.add(unique_key="k")
    with connection:
        answer = store.insert_on(connection, [bench.row(unique_key="k", queue="another")])

    assert answer.existing[0].row.unique_key == "k"
    assert (sqlite3.Row, bytes) == (connection.row_factory, connection.text_factory)


def test_an_attempt_is_completed_with_the_callers_effects(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    bench.add()
    row = bench.take()
    with connection:
        connection.execute("INSERT INTO orders(item) VALUES('book')")
        assert store.finish_on(connection, ANN, Outcome.completed(row, b"7", retention=KEPT))
        assert bench.state(row.id) is JobState.RUNNING

    assert (bench.job(row.id).state, bench.job(row.id).result) == (JobState.COMPLETED, b"7")
    assert store.counts()[JobState.COMPLETED] == 1


def test_an_attempt_whose_completion_is_rolled_back_still_runs(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection
) -> None:
    bench.add()
    row = bench.take()
    store.finish_on(connection, ANN, ENDINGS["completed"](row))
    connection.rollback()

    assert bench.state(row.id) is JobState.RUNNING
    assert store.counts()[JobState.COMPLETED] == 0


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_a_lost_claim_is_refused_there_too(
    bench: Bench, store: SQLiteStore, connection: sqlite3.Connection, ending: str
) -> None:
    bench.add()
    first = bench.take()
    bench.lose(first)
    second = bench.take(BEN)
    with connection:
        assert not store.finish_on(connection, ANN, ENDINGS[ending](first))
        assert not store.finish_on(connection, BEN, ENDINGS[ending](first))

    assert second == bench.job(first.id)


def test_a_file_that_another_writes_for_too_long_is_told_as_unavailable(
    bench: Bench, store: SQLiteStore, path: Path
) -> None:
    bench.add()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(path, timeout=0)) as connection, pytest.raises(StoreUnavailable, match="locked"):
            store.insert_on(connection, [bench.row()])
        other.execute("ROLLBACK")
