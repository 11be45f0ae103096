"""Write, read, time, closing: what the verbs stand on, by both drivers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.stores.sqlite.connection import Connection, Driver
from millrace.stores.sqlite.database import Database
from millrace.testing.clock import ManualClock
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_lock, count_locks, lock_names
from tests.stores.sqlite.files.stage import wait_for

open_with: Any = Database  # for options that a type checker refuses


def add(name: str) -> Callable[[Connection, int], int]:
    def body(connection: Connection, now: int) -> int:
        return add_lock(connection, name, now)

    return body


def test_a_write_is_committed_and_gives_back_what_its_body_gives(database: Database) -> None:
    assert database.write(lambda connection, now: (add_lock(connection, "a", now), now > 0)) == (1, True)

    assert database.read(lock_names) == ["a"]


def test_an_error_in_a_body_rolls_back_and_comes_out_as_it_is(database: Database) -> None:
    def body(connection: Connection, now: int) -> None:
        add_lock(connection, "a", now)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        database.write(body)

    assert database.read(count_locks) == 0
    assert database.write(add("b")) == 1


def test_an_interrupt_in_a_body_leaves_the_database_usable(database: Database) -> None:
    def body(connection: Connection, now: int) -> None:
        add_lock(connection, "a", now)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.write(body)

    assert database.write(add("b")) == 1
    assert database.read(lock_names) == ["b"]


def test_a_broken_statement_is_not_taken_for_trouble_with_the_file(database: Database) -> None:
    with pytest.raises(Exception, match="syntax error") as caught:
        database.write(lambda connection, _: connection.execute("INSERT NONSENSE"))

    assert not isinstance(caught.value, StoreUnavailable)


def test_the_connection_that_reads_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        database.read(lambda connection: add_lock(connection, "a", 1))


def test_a_read_that_fails_within_its_transaction_leaves_none_open(database: Database) -> None:
    def body(connection: Connection) -> None:
        connection.execute("BEGIN")
        count_locks(connection)
        raise LookupError

    with pytest.raises(LookupError):
        database.read(body)

    assert database.read(lambda connection: connection.in_transaction) is False


def test_ctrl_c_right_before_a_rollback_leaves_no_transaction_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = database.write(lambda connection, _: type(connection))  # of either driver
    execute = kind.execute
    pressed: list[str] = []

    def interrupted(self: Connection, sql: str, args: Sequence[Any] = ()) -> Any:
        if sql == "ROLLBACK" and not pressed:
            pressed.append(sql)
            raise KeyboardInterrupt
        return execute(self, sql, args)

    def fail(connection: Connection, now: int) -> None:
        add_lock(connection, "a", now)
        raise LookupError

    monkeypatch.setattr(kind, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        database.write(fail)

    assert pressed == ["ROLLBACK"]
    assert database.write(lambda connection, _: count_locks(connection)) == 0


def test_a_read_does_not_wait_for_a_writer(database: Database) -> None:
    database.open()

    def body(connection: Connection, now: int) -> int:
        add_lock(connection, "a", now)
        return database.read(count_locks)  # on the other connection: it sees what is committed

    assert database.write(body) == 0
    assert database.read(count_locks) == 1


def test_the_time_never_steps_back(path: str, opener: Opener) -> None:
    clock = ManualClock(start=1_000)
    database = opener(path, clock=clock)

    times = [database.now()]
    clock.move_to(500)
    times.append(database.write(lambda _, now: now))
    clock.move_to(2_000)
    times.append(database.now())

    assert times == [1_000, 1_000, 2_000]


def test_a_write_takes_the_time_it_is_given(database: Database) -> None:
    assert database.write(lambda _, now: now, now=7) == 7


def test_nothing_is_opened_before_the_first_use(path: str, opener: Opener) -> None:
    opener(path)

    assert list(Path(path).parent.iterdir()) == []


def test_a_closed_database_refuses_and_closes_again_without_a_word(database: Database) -> None:
    database.write(add("a"))
    database.close()
    database.close()

    for verb in (lambda: database.write(add("b")), lambda: database.read(count_locks), database.open):
        with pytest.raises(StoreUnavailable, match="is closed; make a new one"):
            verb()


def test_closing_what_was_never_opened_is_fine(database: Database) -> None:
    database.close()


def test_a_relative_path_stays_what_it_was_when_the_folder_changes(
    tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = opener("jobs.db")
    monkeypatch.chdir("/")

    database.open()

    assert database.path == str(tmp_path / "jobs.db")
    assert database.url == "sqlite:///jobs.db"


@pytest.mark.parametrize("name", ["a b.db", "a?mode=ro.db", "50%25.db", "ä#1.db", "a\udcff.db"])
def test_any_name_of_a_file_will_do(tmp_path: Path, driver: Driver, opener: Opener, name: str) -> None:
    database = opener(str(tmp_path / name), driver=driver)

    database.write(add("a"))

    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"synchronous": "off"}, "synchronous 'off' is not known; give full or normal"),
        ({"network": "yes"}, "network 'yes' is not known; give refuse or allow"),
        ({"driver": "mysql"}, "driver 'mysql' is not known; give sqlite3 or apsw"),
        ({"prefix": "1a"}, "prefix '1a' cannot begin the name of a table"),
        ({"prefix": "a-b"}, "prefix 'a-b' cannot begin"),
        ({"prefix": "sqlite_x"}, "prefix 'sqlite_x' cannot begin"),
        ({"prefix": ""}, "prefix '' cannot begin"),
        ({"deadline": 0.0}, "deadline 0.0 is not acceptable; give seconds"),
        ({"deadline": float("nan")}, "deadline nan is not acceptable"),
    ],
)
def test_an_option_that_is_not_acceptable_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_with("jobs.db", **options)

    assert sentence in str(caught.value)


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_what_is_no_name_of_a_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a path of a file; for jobs in memory use memory://"):
        Database(path)


def test_every_pragma_is_as_it_must_be(database: Database) -> None:
    def pragmas(connection: Connection) -> dict[str, Any]:
        names = (
            "journal_mode", "synchronous", "auto_vacuum", "cache_size", "temp_store", "mmap_size", "foreign_keys",
            "secure_delete", "journal_size_limit", "wal_autocheckpoint", "busy_timeout", "query_only", "page_size",
        )  # fmt: skip
        return {name: connection.rows(f"PRAGMA {name}")[0][0] for name in names}

    common = {
        "journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2, "temp_store": 2, "mmap_size": 0, "foreign_keys": 0,
        "secure_delete": 0, "journal_size_limit": 67108864, "busy_timeout": 30000, "page_size": 2048,
    }  # fmt: skip
    assert database.write(lambda connection, _: pragmas(connection)) == common | {
        "cache_size": -16384,
        "wal_autocheckpoint": 2000,
        "query_only": 0,
    }
    assert database.read(pragmas) == common | {"cache_size": -4096, "wal_autocheckpoint": 0, "query_only": 1}


def test_normal_is_normal_when_asked_for(path: str, driver: Driver, opener: Opener) -> None:
    database = opener(path, driver=driver, synchronous="normal")

    assert database.write(lambda connection, _: connection.rows("PRAGMA synchronous")) == [(1,)]


def test_threads_write_one_after_the_other(database: Database) -> None:
    """Each reads what is there and writes one more: a lost update would show."""

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, f"{count_locks(connection):03}", now)

    def work() -> None:
        for _ in range(25):
            database.write(body)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert database.read(lock_names) == [f"{number:03}" for number in range(200)]


def test_the_urgent_go_before_all_others_and_these_in_the_order_they_came(database: Database) -> None:
    database.open()
    order: list[str] = []
    begun, going_on = threading.Event(), threading.Event()

    def first(connection: Connection, now: int) -> None:
        add_lock(connection, "first", now)
        begun.set()
        assert going_on.wait(30)

    def follow(name: str, *, urgent: bool) -> threading.Thread:
        waiting = database.waiting
        thread = threading.Thread(
            target=lambda: database.write(lambda _connection, _now: order.append(name), urgent=urgent)
        )
        thread.start()
        wait_for(lambda: database.waiting > waiting, f"{name} to queue up")
        return thread

    threads = [threading.Thread(target=database.write, args=(first,))]
    threads[0].start()
    assert begun.wait(30)
    threads += [follow("a", urgent=False), follow("b", urgent=False), follow("beat", urgent=True)]
    going_on.set()
    for thread in threads:
        thread.join()

    assert order == ["beat", "a", "b"]


def test_a_thread_that_waits_in_vain_is_told_so_at_the_deadline(path: str, opener: Opener) -> None:
    database = opener(path, deadline=0.2)
    database.open()
    begun, going_on = threading.Event(), threading.Event()

    def long(connection: Connection, now: int) -> None:
        add_lock(connection, "long", now)
        begun.set()
        assert going_on.wait(30)

    thread = threading.Thread(target=database.write, args=(long,))
    thread.start()
    assert begun.wait(30)
    with pytest.raises(StoreUnavailable, match=r"was locked for 0\.2 s by other threads of this process"):
        database.write(add("short"))
    going_on.set()
    thread.join()

    assert database.write(add("later")) == 1
    assert database.read(lock_names) == ["later", "long"]


def test_the_rows_of_another_program_in_the_same_file_are_left_alone(path: str, driver: Driver, opener: Opener) -> None:
    own = sqlite3.connect(path, isolation_level=None)
    own.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
    own.execute("INSERT INTO orders VALUES(1)")

    opener(path, driver=driver).write(add("a"))

    assert own.execute("SELECT count(*) FROM orders").fetchall() == [(1,)]
    assert own.execute("PRAGMA user_version").fetchall() == own.execute("PRAGMA application_id").fetchall() == [(0,)]
    own.close()
