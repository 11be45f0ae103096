"""The files themselves: modes, places, damage, other people's, and that nobody of ours opens the main one."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from millrace.errors import ConfigurationError, SchemaMismatch, StoreUnavailable
from millrace.stores.sqlite import connection as connections
from millrace.stores.sqlite import files
from millrace.stores.sqlite.connection import Driver
from millrace.stores.sqlite.database import Database
from tests.leaks import Held
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_more, count_locks
from tests.stores.sqlite.files.stage import Actor


def fill(database: Database, count: int = 200) -> None:
    for _ in range(count):
        database.write(add_more)


def mode(name: str) -> int:
    return stat.S_IMODE(Path(name).stat().st_mode)


def test_every_file_is_only_its_owner_s_whatever_the_umask(path: str, driver: Driver, opener: Opener) -> None:
    before = os.umask(0o022)
    try:
        database = opener(path, driver=driver)
        database.begin_work()
        fill(database, 1)
    finally:
        os.umask(before)

    modes = {name.removeprefix(path): mode(name) for name in files.companions(path)}

    assert modes == dict.fromkeys(["", "-wal", "-shm", "-gate", "-reserve"], 0o600)


def test_nobody_of_ours_opens_the_main_file_or_its_shared_memory(path: str, driver: Driver, opener: Opener) -> None:
    """One `open` and `close` of either would drop all of SQLite's locks in this process."""
    opened: list[str] = []
    watching = [True]

    def hook(event: str, args: tuple[object, ...]) -> None:
        if watching[0] and event == "open" and isinstance(args[0], (str, bytes)):
            opened.append(os.fsdecode(args[0]))

    first = opener(path, driver=driver)
    fill(first, 1)
    sys.addaudithook(hook)
    try:
        database = opener(path, driver=driver)
        watch = database.watch(lambda: None)
        database.begin_work()
        fill(database, 2)
        database.read(count_locks)
        database.idle()
        database.check()
        watch.close()
        database.end_work()
        database.close()
    finally:
        watching[0] = False

    assert f"{path}-gate" in opened, "the hook must have seen what is opened"
    assert {path, f"{path}-shm", f"{path}-wal"} & set(opened) == set()


def test_everything_is_given_back_at_the_end(path: str, driver: Driver) -> None:
    before = Held.now()
    for _ in range(3):
        database = Database(path, driver=driver)
        watch = database.watch(lambda: None)
        database.begin_work()
        fill(database, 2)
        database.read(count_locks)
        watch.close()
        database.close()

    assert Held.now().since(before) == []


def test_a_subscription_left_open_ends_with_the_database(path: str) -> None:
    before = Held.now()
    database = Database(path)
    database.watch(lambda: None)
    database.close()

    assert Held.now().since(before) == []


def test_a_database_that_nobody_closed_gives_back_what_it_had(path: str, driver: Driver) -> None:
    before = Held.now()
    database = Database(path, driver=driver)
    fill(database, 1)
    database.read(count_locks)
    del database
    gc.collect()

    assert Held.now().since(before) == []


def test_a_missing_folder_is_named_and_never_made(tmp_path: Path, opener: Opener) -> None:
    database = opener(str(tmp_path / "not" / "there" / "jobs.db"))

    with pytest.raises(ConfigurationError, match=rf"the folder {tmp_path}/not/there of .* does not exist; create it"):
        database.open()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path: Path, opener: Opener) -> None:
    with pytest.raises(ConfigurationError, match="is a folder; name a file in it"):
        opener(str(tmp_path)).open()


@pytest.mark.parametrize("text", [b"Dear diary, today I did nothing.\n" * 40, b"x" * 20])
def test_a_file_of_another_kind_is_not_touched(path: str, driver: Driver, opener: Opener, text: bytes) -> None:
    Path(path).write_bytes(text)

    with pytest.raises(StoreUnavailable, match="is not an SQLite database; name another file"):
        opener(path, driver=driver).open()

    assert Path(path).read_bytes() == text


def test_an_empty_file_is_taken_as_new(path: str, driver: Driver, opener: Opener) -> None:
    Path(path).touch()

    fill(opener(path, driver=driver), 1)


def test_a_file_that_was_cut_is_said_to_be_damaged(path: str, driver: Driver) -> None:
    database = Database(path, driver=driver)
    fill(database)
    database.close()
    with Path(path).open("r+b") as file:
        file.truncate(5000)

    with pytest.raises(StoreUnavailable, match=r"is damaged \(.*\); stop all that uses it and restore a backup"):
        fill(Database(path, driver=driver), 1)


def test_a_file_whose_header_was_overwritten_is_no_database(path: str, driver: Driver) -> None:
    database = Database(path, driver=driver)
    fill(database)
    database.close()
    with Path(path).open("r+b") as file:
        file.write(b"\xff" * 100)

    with pytest.raises(StoreUnavailable, match="is not an SQLite database"):
        Database(path, driver=driver).open()


def test_half_a_frame_at_the_end_of_the_log_is_ignored(tmp_path: Path, driver: Driver) -> None:
    """As after a power cut: all that was committed is there, the torn rest is not."""
    path = str(tmp_path / "jobs.db")
    database = Database(path, driver=driver)
    fill(database, 20)
    copy = str(tmp_path / "copy.db")
    for suffix in ("", "-wal"):
        shutil.copy(path + suffix, copy + suffix)
    database.close()
    with Path(f"{copy}-wal").open("ab") as log:
        log.write(b"\x07" * 2000)

    restored = Database(copy, driver=driver)

    assert restored.read(count_locks) == 20
    assert [finding.text for finding in restored.check() if finding.level == "error"] == []
    restored.close()


@pytest.mark.parametrize(
    ("made", "blamed"),
    [
        ({"file": 0o444}, "jobs.db is not this user's to write"),
        ({"folder": 0o555}, "the folder {folder} is not this user's to write"),
        ({"file": 0o600}, "jobs.db is not this user's to write"),
    ],
    ids=["read-only file", "read-only folder", "another user's file"],
)
def test_a_user_who_may_not_write_is_told_what_and_why(public_folder: Path, made: dict[str, int], blamed: str) -> None:
    """By another user in another process: root may write whatever the mode says."""
    folder = public_folder / "data"
    folder.mkdir()
    path = str(folder / "jobs.db")
    database = Database(path)
    fill(database, 1)
    database.close()
    Path(f"{path}-gate").unlink()
    folder.chmod(made.get("folder", 0o777))
    Path(path).chmod(made.get("file", 0o666))

    with Actor("as_nobody", path) as nobody:
        said = nobody.hear()
        nobody.leave()

    assert said.startswith(f"ConfigurationError: {path} cannot be written: ")
    assert blamed.format(folder=folder) in said
    assert f"owner {os.getuid()}, mode {made.get('file') or made['folder']:o}, this process is user 65534" in said
    assert sorted(item.name for item in folder.iterdir()) == ["jobs.db"], "nothing may be left beside it"


def test_a_user_who_may_not_even_look_is_told_where(public_folder: Path) -> None:
    folder = public_folder / "secret"
    folder.mkdir(mode=0o700)

    with Actor("as_nobody", str(folder / "jobs.db")) as nobody:
        said = nobody.hear()
        nobody.leave()

    why = "cannot be reached: Permission denied for user 65534; "
    assert said.startswith(f"ConfigurationError: {folder}/jobs.db {why}")


MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
40 22 0:35 / /srv/my\\040data rw,relatime - nfs4 host:/export rw,vers=4.2
41 40 0:36 / /srv/my\\040data/local rw - xfs /dev/sdb rw
42 22 0:37 / /home rw - fuse.sshfs me@host: rw
broken line
"""


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("/srv/my data/jobs.db", ("nfs4", "/srv/my data")),
        ("/srv/my data/local/jobs.db", None),
        ("/srv/my data more/jobs.db", None),
        ("/home/me/jobs.db", ("fuse.sshfs", "/home")),
        ("/var/jobs.db", None),
    ],
)
def test_a_network_file_system_is_known_by_its_longest_mount(place: str, found: tuple[str, str] | None) -> None:
    assert files.network_mount(place, MOUNTS) == found


def test_a_file_on_a_network_file_system_is_refused_unless_allowed(
    tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/root rw\n2 1 0:9 / {tmp_path} rw - cifs //host/share rw\n")
    monkeypatch.setattr(files, "MOUNTS", mounts)
    path = str(tmp_path / "jobs.db")

    with pytest.raises(ConfigurationError, match=rf"network file system \(cifs at {tmp_path}\).*\?network=allow"):
        opener(path).open()
    opener(path, network="allow").open()

    assert Path(path).exists()


def test_where_mounts_cannot_be_read_nothing_is_refused(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOUNTS", Path("/proc/no-such-table"))

    opener(path).open()


def test_a_link_is_followed_to_see_where_the_file_really_lies(
    tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    (tmp_path / "near").symlink_to(remote)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/root rw\n2 1 0:9 / {remote} rw - nfs host:/x rw\n")
    monkeypatch.setattr(files, "MOUNTS", mounts)

    with pytest.raises(ConfigurationError, match="network file system"):
        opener(str(tmp_path / "near" / "jobs.db")).open()


def test_an_sqlite_that_is_too_old_is_refused(path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(ConfigurationError, match=r"SQLite 3\.34\.1 is too old, 3\.37\.0 or newer.*millrace\[apsw\]"):
        opener(path).open()


def test_an_sqlite_that_is_not_built_for_threads_is_refused(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "threadsafety", 1)

    with pytest.raises(ConfigurationError, match="not built for threads"):
        opener(path).open()


def test_a_driver_that_is_not_installed_is_named(path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apsw", None)

    with pytest.raises(ConfigurationError, match=r"driver 'apsw' is not installed; install millrace\[apsw\]"):
        opener(path, driver="apsw").open()


def test_a_file_that_does_not_go_over_to_a_log_is_refused(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = connections.StandardConnection.rows

    def rows(self: connections.StandardConnection, sql: str, args: tuple[object, ...] = ()) -> list[object]:
        return [("delete",)] if "journal_mode" in sql else real(self, sql, args)

    monkeypatch.setattr(connections.StandardConnection, "rows", rows)

    with pytest.raises(StoreUnavailable, match="cannot use a write-ahead log, its journal mode stays 'delete'"):
        opener(path).open()


def test_a_file_replaced_while_it_is_open_is_changed_over_to(tmp_path: Path, driver: Driver) -> None:
    """A backup put back under a worker that has nothing to do: it must not go on with the file that has no name now."""
    path, backup = str(tmp_path / "jobs.db"), str(tmp_path / "backup.db")
    kept = Database(backup)
    fill(kept, 5)
    kept.close()
    with Actor("idle", path, driver) as worker:
        assert worker.hear() == "1 row"
        for suffix in ("-wal", "-shm"):
            Path(path + suffix).unlink()
        Path(backup).rename(path)
        worker.say()
        said = worker.hear()
        log_is_there = Path(f"{path}-wal").exists()
        worker.leave()

    assert said == "5 rows"
    assert log_is_there


def test_closing_a_file_that_lost_its_name_leaves_the_new_one_s_log(path: str, opener: Opener) -> None:
    """SQLite deletes a log by its name when the last connection closes."""
    with Actor("write", path, "old") as old:
        assert old.hear() == "ready"
        for suffix in ("", "-wal", "-shm"):
            Path(path + suffix).unlink()
        new = opener(path)
        fill(new, 2)
        old.leave()

    assert Path(f"{path}-wal").exists()
    assert new.read(count_locks) == 2


def test_a_table_dropped_under_way_is_told(database: Database) -> None:
    fill(database, 1)
    database.write(lambda connection, _: connection.execute("DROP TABLE millrace_locks"))

    with pytest.raises(SchemaMismatch, match=r"has lost a table or column.*millrace_locks"):
        fill(database, 1)
