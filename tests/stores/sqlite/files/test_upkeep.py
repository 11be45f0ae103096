"""Checkpoints and size: only within the gate, the log bounded, cut when idle and at the end, free pages given back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from millrace.stores.sqlite.connection import PAGE_SIZE, Connection, Driver, StandardConnection
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.files import size_of
from millrace.stores.sqlite.gate import Gate
from millrace.stores.sqlite.upkeep import WORTH_CUTTING
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_more, count_locks
from tests.stores.sqlite.files.stage import Actor

MIB = 1 << 20


def add_bytes(size: int) -> Any:
    def body(connection: Connection, _now: int) -> None:
        connection.execute("INSERT INTO millrace_results(value) VALUES(zeroblob(?))", (size,))

    return body


def wal(path: str) -> int:
    return size_of(f"{path}-wal")


class GateKeeper:
    """Watches every statement that may checkpoint, and whether the gate is held meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = False
        self.seen: set[str] = set()
        self.outside: list[str] = []
        self._watch_gate(monkeypatch)
        self._watch_connections(monkeypatch)

    def _watch_gate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_take, real_leave = Gate.try_take, Gate.leave

        def take(gate: Gate) -> bool:
            self.held = real_take(gate)
            return self.held

        def leave(gate: Gate) -> None:
            self.held = False
            real_leave(gate)

        monkeypatch.setattr(Gate, "try_take", take)
        monkeypatch.setattr(Gate, "leave", leave)

    def _watch_connections(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Closing the last connection checkpoints, and one that writes is always closed last."""
        kind = StandardConnection
        real_execute, real_rows, real_close = kind.execute, kind.rows, kind.close

        def execute(connection: StandardConnection, sql: str, args: Sequence[Any] = ()) -> int:
            if sql == "COMMIT":
                self._note(sql)
            return real_execute(connection, sql, args)

        def rows(connection: StandardConnection, sql: str, args: Sequence[Any] = ()) -> list[Any]:
            if "wal_checkpoint(" in sql:
                self._note(sql)
            return real_rows(connection, sql, args)

        def close(connection: StandardConnection) -> None:
            in_file = real_rows(connection, "PRAGMA database_list")[0][2]
            if in_file and real_rows(connection, "PRAGMA query_only") == [(0,)]:
                self._note("close")
            real_close(connection)

        for name, watched in (("execute", execute), ("rows", rows), ("close", close)):
            monkeypatch.setattr(kind, name, watched)

    def _note(self, what: str) -> None:
        self.seen.add(what)
        if not self.held:
            self.outside.append(what)


def test_no_checkpoint_stands_outside_the_gate(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = GateKeeper(monkeypatch)
    database = Database(path)
    watch = database.watch(lambda: None)
    for _ in range(20):
        database.write(add_bytes(WORTH_CUTTING // 10))
        database.idle()
        database._tidy_at = 0.0  # pyright: ignore[reportPrivateUsage]
    database.read(count_locks)
    watch.close()
    database.close()

    assert keeper.seen == {"COMMIT", "PRAGMA wal_checkpoint(TRUNCATE)", "close"}
    assert keeper.outside == []


def test_a_worker_s_log_stays_short(path: str, driver: Driver, opener: Opener) -> None:
    database = opener(path, driver=driver, synchronous="normal", reserve=False)
    database.begin_work()
    longest = 0
    for _ in range(80):
        database.write(add_bytes(MIB))
        longest = max(longest, wal(path))

    assert longest < 32 * MIB


def test_a_reader_that_stays_open_lets_the_log_grow_and_nothing_more(path: str, opener: Opener) -> None:
    database = opener(path, synchronous="normal", reserve=False)
    database.begin_work()
    database.write(add_more)
    with Actor("foreign", path, "BEGIN") as reader:
        assert reader.hear() == "holding"
        for _ in range(40):
            database.write(add_bytes(MIB))
        grown = wal(path)
        database.idle()
        kept = wal(path)
        reader.say()
        reader.leave()
    database._tidy_at = 0.0  # pyright: ignore[reportPrivateUsage]
    database.idle()

    assert grown > 32 * MIB
    assert kept > 32 * MIB
    assert wal(path) == 0


def test_checkpoints_are_paced_by_whether_a_worker_is_at_work(database: Database) -> None:
    def pages(connection: Connection, _now: int = 0) -> int:
        return int(connection.rows("PRAGMA wal_autocheckpoint")[0][0])

    seen = [database.write(pages)]
    for change in (database.begin_work, database.begin_work, database.end_work, database.end_work):
        change()
        seen.append(database.write(pages))

    assert seen == [2000, 8000, 8000, 8000, 2000]


def test_a_worker_that_starts_before_the_file_is_open_is_paced_too(path: str, opener: Opener) -> None:
    database = opener(path)
    database.begin_work()

    assert database.write(lambda connection, _: connection.rows("PRAGMA wal_autocheckpoint")) == [(8000,)]


def test_an_idle_moment_cuts_a_long_log_and_leaves_a_short_one(database: Database, path: str) -> None:
    database.write(add_more)
    short = wal(path)
    database.idle()
    kept = wal(path)
    database.write(add_bytes(2 * WORTH_CUTTING))
    database._tidy_at = 0.0  # pyright: ignore[reportPrivateUsage]
    database.idle()

    assert kept == short > 0
    assert wal(path) == 0
    assert database.read(count_locks) == 1


def test_idle_moments_close_together_do_nothing(database: Database, path: str) -> None:
    database.write(add_more)
    database.idle()
    database.write(add_bytes(2 * WORTH_CUTTING))
    database.idle()

    assert wal(path) > WORTH_CUTTING


def test_an_idle_moment_waits_for_nobody(path: str, opener: Opener) -> None:
    database = opener(path)
    database.write(add_bytes(2 * WORTH_CUTTING))
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        database.idle()
        left = wal(path)
        other.say()
        other.leave()

    assert left > WORTH_CUTTING


def test_an_idle_moment_gives_free_pages_back_to_the_disk(database: Database, path: str) -> None:
    for _ in range(4):
        database.write(add_bytes(MIB))
    database.write(lambda connection, _: connection.execute("DELETE FROM millrace_results"))
    database.idle()
    before = size_of(path)
    database._tidy_at = 0.0  # pyright: ignore[reportPrivateUsage]
    database.idle()

    assert before > 4 * MIB - 500 * PAGE_SIZE
    pages = (before - size_of(path)) // PAGE_SIZE
    assert pages in (500, 501, 502)  # with a page of SQLite's own map, which went with those that it maps


def test_the_last_to_close_leaves_one_file_and_the_gate(path: str, driver: Driver) -> None:
    first, second = Database(path, driver=driver), Database(path, driver=driver)
    first.write(add_more)
    second.write(add_more)
    first.close()
    assert Path(f"{path}-wal").exists()
    second.close()

    assert sorted(item.name for item in Path(path).parent.iterdir()) == ["jobs.db", "jobs.db-gate"]


def test_closing_beside_a_process_that_stays_cuts_the_log(path: str, opener: Opener) -> None:
    opener(path).open()
    database = Database(path)
    database.write(add_bytes(MIB))
    database.close()

    assert wal(path) == 0


def test_closing_does_not_wait_for_ever_for_the_gate(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.stores.sqlite.hold._PATIENCE_AT_CLOSE", 0.1)
    database = Database(path)
    database.write(add_more)
    with Actor("hold", path) as other:
        assert other.hear() == "holding"
        database.close()
        other.say()
        other.leave()

    again = Database(path)
    assert again.read(count_locks) == 2
    again.close()
