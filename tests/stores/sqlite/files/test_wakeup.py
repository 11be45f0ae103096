"""Hints: heard at once within the process, soon across processes, and never after the end of a watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.sqlite import listener as listeners
from millrace.stores.sqlite.connection import Connection, Driver
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.inotify import FileEvents
from millrace.stores.sqlite.listener import Listener
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_more
from tests.stores.sqlite.files.stage import PATIENCE, Actor, wait_for


@pytest.fixture
def other(path: str) -> Iterator[Actor]:
    """Another process that writes when told."""
    with Actor("write", path, "other") as actor:
        assert actor.hear() == "ready"
        yield actor


def listener_of(database: Database) -> Listener:
    found = database._watchers.listener  # pyright: ignore[reportPrivateUsage]
    assert found is not None
    return found


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "millrace-listener"]


def write_in(other: Actor) -> None:
    other.say()
    assert other.hear() == "written"


def _make_deaf(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Let events be listened for that never come."""

    def events_of_the_gate(_path: str) -> FileEvents:
        return FileEvents(f"{path}-gate")

    monkeypatch.setattr(listeners, "_file_events", events_of_the_gate)


def test_a_commit_of_another_process_is_heard(path: str, driver: Driver, opener: Opener, other: Actor) -> None:
    heard = threading.Event()
    watch = opener(path, driver=driver).watch(heard.set)

    for _ in range(5):
        heard.clear()
        write_in(other)
        assert heard.wait(PATIENCE)
    watch.close()


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_a_commit_right_after_the_watch_began_is_heard(
    path: str, opener: Opener, other: Actor, synchronous: str
) -> None:
    database = opener(path, synchronous=synchronous)
    for _ in range(5):
        heard = threading.Event()
        watch = database.watch(heard.set)
        write_in(other)
        assert heard.wait(PATIENCE)
        watch.close()


def test_what_the_process_itself_knows_is_told_at_once_and_in_its_thread(database: Database) -> None:
    told: list[threading.Thread] = []
    watch = database.watch(lambda: told.append(threading.current_thread()))

    database.changed()

    assert threading.current_thread() in told
    watch.close()


def test_without_watches_a_change_is_told_to_nobody(database: Database) -> None:
    database.changed()

    assert threads() == []


def test_all_watches_share_one_thread_that_ends_with_the_last(path: str, opener: Opener) -> None:
    database = opener(path)
    database.open()
    before = len(threads())
    first, second = database.watch(lambda: None), database.watch(lambda: None)
    during = len(threads())
    first.close()
    still = len(threads())
    second.close()

    assert (before, during, still, len(threads())) == (0, 1, 1, 0)
    again = database.watch(lambda: None)
    assert len(threads()) == 1
    again.close()


def test_after_its_end_a_watch_is_told_nothing(database: Database) -> None:
    told: list[str] = []
    first, second = database.watch(lambda: told.append("first")), database.watch(lambda: told.append("second"))
    first.close()
    first.close()

    database.changed()

    assert "first" not in told
    assert "second" in told
    second.close()


def test_the_end_of_a_watch_waits_for_a_callback_that_is_running(database: Database) -> None:
    begun, going_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        begun.set()
        assert going_on.wait(PATIENCE)
        done.append("callback")

    watch = database.watch(slow)
    teller = threading.Thread(target=database.changed)
    teller.start()
    assert begun.wait(PATIENCE)

    def close() -> None:
        watch.close()
        done.append("closed")

    closer = threading.Thread(target=close)
    closer.start()
    wait_for(lambda: not database._watchers.some, "the watch to be taken off")  # pyright: ignore[reportPrivateUsage]
    going_on.set()
    closer.join()
    teller.join()

    assert done[-1] == "closed"


def test_a_callback_may_end_its_own_watch_and_others(database: Database) -> None:
    told: list[str] = []

    def first() -> None:
        told.append("first")
        watches[0].close()
        watches[1].close()

    watches = [database.watch(first), database.watch(lambda: told.append("second"))]
    database.changed()
    database.changed()

    assert told == ["first"]
    wait_for(lambda: threads() == [], "the listener to end")


def test_a_callback_in_the_listener_s_own_thread_may_end_the_last_watch(
    path: str, opener: Opener, other: Actor
) -> None:
    database = opener(path)
    ended = threading.Event()

    def end() -> None:
        if threading.current_thread() is not threading.main_thread():
            watch.close()
            ended.set()

    watch = database.watch(end)
    write_in(other)

    assert ended.wait(PATIENCE)
    wait_for(lambda: threads() == [], "the listener to end")


def test_a_callback_that_fails_is_logged_and_keeps_nobody_from_hearing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail() -> None:
        raise LookupError("not my day")

    watches = [database.watch(fail), database.watch(lambda: told.append("second"))]
    database.changed()

    assert "second" in told
    assert "not my day" in caplog.text
    for watch in watches:
        watch.close()


def test_a_watch_of_a_closed_database_is_refused(database: Database) -> None:
    database.close()

    with pytest.raises(StoreUnavailable, match="is closed"):
        database.watch(lambda: None)


def test_events_prove_themselves_and_then_the_thread_rests(path: str, opener: Opener, other: Actor) -> None:
    heard = threading.Event()
    database = opener(path)
    watch = database.watch(heard.set)
    before = listener_of(database).proven
    write_in(other)
    assert heard.wait(PATIENCE)

    assert not before
    assert listener_of(database).proven
    watch.close()


def test_where_events_do_not_come_commits_are_heard_all_the_same(
    path: str, opener: Opener, other: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that has inotify and tells it nothing."""
    _make_deaf(monkeypatch, path)
    heard = threading.Event()
    database = opener(path)
    watch = database.watch(heard.set)
    for _ in range(3):
        heard.clear()
        write_in(other)
        assert heard.wait(PATIENCE)

    assert not listener_of(database).proven
    watch.close()


def test_events_that_stop_coming_are_no_longer_trusted(
    path: str, opener: Opener, other: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "REST", 0.05)
    _make_deaf(monkeypatch, path)
    heard = threading.Event()
    database = opener(path)
    watch = database.watch(heard.set)
    listener_of(database)._proven = True  # pyright: ignore[reportPrivateUsage]
    write_in(other)

    assert heard.wait(PATIENCE)
    wait_for(lambda: not listener_of(database).proven, "the events to lose their good name")
    watch.close()


def test_without_inotify_the_thread_looks_by_itself(
    path: str, opener: Opener, other: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.stores.sqlite.listener.sys.platform", "darwin")
    heard = threading.Event()
    watch = opener(path).watch(heard.set)
    for _ in range(3):
        heard.clear()
        write_in(other)
        assert heard.wait(PATIENCE)
    watch.close()


def test_where_the_host_allows_no_more_inotify_the_thread_looks_by_itself(
    path: str, opener: Opener, other: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: str) -> FileEvents:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("millrace.stores.sqlite.inotify.FileEvents", refuse)
    heard = threading.Event()
    watch = opener(path).watch(heard.set)
    write_in(other)

    assert heard.wait(PATIENCE)
    watch.close()


def test_a_watch_survives_the_log_s_deletion_and_return(path: str, opener: Opener) -> None:
    """As around a fork: all connections closed, so SQLite deletes the log, and the next writer makes a new one."""
    heard = threading.Event()
    database = opener(path)
    database.write(add_more)
    watch = database.watch(heard.set)
    database.rest(time.monotonic() + PATIENCE)
    gone = not Path(f"{path}-wal").exists()
    database.resume()
    assert heard.wait(PATIENCE), "a new connection cannot know what it has missed, so it counts as a change"

    with Actor("write", path, "other") as other:
        assert other.hear() == "ready"
        for _ in range(3):
            heard.clear()
            write_in(other)
            assert heard.wait(PATIENCE)
        other.leave()

    assert gone
    watch.close()


def test_a_look_that_fails_is_tried_again_and_told_as_a_change(
    path: str, opener: Opener, other: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "REST", 0.05)
    heard = threading.Event()
    database = opener(path)
    watch = database.watch(heard.set)
    listener = listener_of(database)
    real = listener._look  # pyright: ignore[reportPrivateUsage]
    failures = iter([True, True])

    def look() -> bool:
        if next(failures, False):
            raise StoreUnavailable("not now")
        return real()

    monkeypatch.setattr(listener, "_look", look)
    assert heard.wait(PATIENCE)
    wait_for(lambda: next(failures, None) is None, "both failures")
    heard.clear()
    write_in(other)

    assert heard.wait(PATIENCE)
    watch.close()


def test_a_process_that_commits_all_the_time_looks_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    commits = 0

    def never() -> Connection:
        raise AssertionError

    listener = Listener("/nowhere/jobs.db", never, lambda: commits, lambda: None)
    monkeypatch.setattr("millrace.stores.sqlite.listener.time.sleep", pauses.append)
    for more in (1, 3, 1, 1, 1, 1, 0, 1):
        commits += more
        listener._let_write()  # pyright: ignore[reportPrivateUsage]
    listener.disown()

    assert pauses == [0.0005, 0.001, 0.002, 0.004, 0.008, 0.008, 0.0005]
