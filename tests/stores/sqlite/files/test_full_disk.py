"""A disk that is full: nothing acknowledged is lost, and all goes on once there is room."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.sqlite.connection import Connection, Driver
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.files import RESERVE_SIZE, size_of
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_more, count_locks


def fill(database: Database) -> int:
    """Write until the disk is full; return how many writes were acknowledged."""
    done = 0
    with contextlib.suppress(StoreUnavailable):
        while True:
            database.write(add_padded)
            done += 1
    return done


def add_padded(connection: Connection, now: int) -> None:
    add_more(connection, now)
    connection.execute("INSERT INTO millrace_results(value) VALUES(randomblob(20000))")


def add_much(connection: Connection, now: int) -> None:
    add_more(connection, now)
    connection.execute("INSERT INTO millrace_results(value) VALUES(randomblob(9000000))")


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(small_disk: Path, driver: Driver, opener: Opener) -> None:
    database = opener(str(small_disk / "jobs.db"), driver=driver, reserve=False)
    done = fill(database)

    assert done > 20
    assert database.read(count_locks) == done
    with pytest.raises(
        StoreUnavailable,
        match=r"the disk of .*/jobs\.db is full \(\d+ KiB left\); nothing was written\. Make room: all",
    ):
        database.write(add_much)
    assert [finding.text for finding in database.check() if finding.level == "error"] == []


def test_all_goes_on_once_there_is_room(small_disk: Path, driver: Driver, opener: Opener) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3 << 20))
    database = opener(str(small_disk / "jobs.db"), driver=driver, reserve=False)
    done = fill(database)

    ballast.unlink()

    for _ in range(10):
        database.write(add_padded)
    database.close()
    again = opener(database.path, driver=driver)
    assert again.read(count_locks) == done + 10


def test_a_full_disk_at_the_first_use_is_told(small_disk: Path, opener: Opener) -> None:
    (small_disk / "ballast").write_bytes(bytes((6 << 20) - 8192))

    database = opener(str(small_disk / "jobs.db"))

    with pytest.raises(StoreUnavailable, match=r"is full|cannot be"):
        database.open()
    (small_disk / "ballast").unlink()
    assert database.write(add_more) == 0


def test_a_transaction_that_the_full_disk_has_rolled_back_is_not_rolled_back_again(
    small_disk: Path, driver: Driver, opener: Opener
) -> None:
    database = opener(str(small_disk / "jobs.db"), driver=driver, reserve=False)
    fill(database)

    with pytest.raises(StoreUnavailable, match="is full"):
        database.write(add_much)

    assert database.read(lambda connection: connection.in_transaction) is False
    assert database.write(lambda _connection, now: now) > 0


def test_the_reserve_is_given_up_for_a_write_that_may_spend_it(
    small_disk: Path, driver: Driver, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.stores.sqlite.files._ROOM_TO_SPARE", 2)
    database = opener(str(small_disk / "jobs.db"), driver=driver)
    database.begin_work()
    reserve = Path(f"{database.path}-reserve")
    assert size_of(str(reserve)) == RESERVE_SIZE
    done = fill(database)
    runs: list[int] = []

    def outcome(connection: Connection, now: int) -> None:
        runs.append(now)
        add_padded(connection, now)

    for _ in range(5):
        database.write(outcome, spare=True)

    assert len(runs) == 6, "one of them was run a second time"
    assert not reserve.exists()
    assert database.read(count_locks) == done + 5


def test_other_writes_leave_the_reserve_alone(
    small_disk: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.stores.sqlite.files._ROOM_TO_SPARE", 2)
    database = opener(str(small_disk / "jobs.db"))
    database.begin_work()
    fill(database)

    assert Path(f"{database.path}-reserve").exists()


def test_once_the_reserve_is_gone_a_full_disk_is_told(
    small_disk: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.stores.sqlite.files._ROOM_TO_SPARE", 2)
    database = opener(str(small_disk / "jobs.db"))
    database.begin_work()

    with pytest.raises(StoreUnavailable, match="is full"):
        database.write(add_much, spare=True)

    assert not Path(f"{database.path}-reserve").exists()


def test_no_reserve_is_kept_on_a_disk_that_is_nearly_full_nor_where_none_is_wanted(
    small_disk: Path, tmp_path: Path, opener: Opener
) -> None:
    tight, unwanted = opener(str(small_disk / "jobs.db")), opener(str(tmp_path / "jobs.db"), reserve=False)
    tight.begin_work()
    unwanted.begin_work()

    assert not Path(f"{tight.path}-reserve").exists()
    assert not Path(f"{unwanted.path}-reserve").exists()
