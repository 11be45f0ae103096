"""The parts that other processes play: `python -m tests.stores.sqlite.files.actors PART ARGS`. Owns no assertions.

Each part says lines on its standard output and waits for lines on its input, so that a test can lead it step by step.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from millrace.errors import MillraceError
from millrace.stores.sqlite import files
from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.gate import Gate
from tests.stores.sqlite.files.rows import add_lock, count_locks

NOBODY = 65534


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n".replace("\n", " ").rstrip() + "\n")
    sys.stdout.flush()


def wait_for_word() -> str:
    return sys.stdin.readline()


@contextlib.contextmanager
def opened(path: str, **options: Any) -> Generator[Database]:
    database = Database(path, **options)
    try:
        yield database
    finally:
        database.close()


def add(database: Database, name: str) -> None:
    """Write one row."""
    database.write(lambda connection, now: add_lock(connection, name, now))


def hold(path: str) -> None:
    """Stay in a write transaction until told to go on."""

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, f"hold-{os.getpid()}", now)
        say("holding")
        wait_for_word()

    with opened(path) as database:
        database.write(body)
        say("done")


def stop(path: str) -> None:
    """Stop this whole process within a write transaction."""

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, f"stop-{os.getpid()}", now)
        say("stopping")
        os.kill(os.getpid(), signal.SIGSTOP)

    with opened(path) as database:
        database.write(body)
        say("done")


def foreign(path: str, statement: str = "BEGIN IMMEDIATE") -> None:
    """Hold SQLite's own lock as a program that knows nothing of the gate, until told to go on."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    if statement == "BEGIN":
        connection.execute("SELECT count(*) FROM millrace_meta").fetchall()
    say("holding")
    wait_for_word()
    connection.execute("COMMIT")
    connection.close()
    say("done")


def race(path: str, goal: str) -> None:
    """Write one row after the other until all racers together have written enough; say how many were ours."""
    mine = 0
    worst = 0.0

    def body(connection: Connection, now: int) -> int:
        add_lock(connection, f"{os.getpid()}-{mine}", now)
        sum(range(3_000))  # some work under the lock, as a slow disk would make it
        return count_locks(connection)

    with opened(path) as database:
        database.open()
        say("ready")
        wait_for_word()
        while True:
            begun = time.monotonic()
            total = database.write(body)
            worst = max(worst, time.monotonic() - begun)
            mine += 1
            if total >= int(goal):
                break
    say(f"{mine} {worst}")


def start(path: str) -> None:
    """Open the file at the word, and say what was done to its schema."""
    say("ready")
    wait_for_word()
    with opened(path) as database:
        say(len(database.migrate()))


def write(path: str, name: str) -> None:
    """Write one row at each word, until there is none."""
    with opened(path) as database:
        database.open()
        say("ready")
        number = 0
        while wait_for_word():
            number += 1
            add(database, f"{name}-{number}")
            say("written")


def idle(path: str, driver: str) -> None:
    """Write a row, then be idle once at each word and say how many rows there are."""
    with opened(path, driver=driver) as database:
        add(database, "row")
        watch = database.watch(lambda: None)
        say("1 row")
        while wait_for_word():
            database.idle()
            say(f"{database.read(count_locks)} rows")
        watch.close()


def as_nobody(path: str) -> None:
    """Try to write as a user who owns nothing."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try_to_write(path)


def try_to_write(path: str) -> None:
    with opened(path) as database:
        try:
            add(database, f"try-{os.getpid()}")
        except MillraceError as error:
            say(f"{type(error).__name__}: {error}")
        else:
            say("written")


def fork(path: str, rounds: str = "1") -> None:
    """Fork while another thread is within a write transaction; parent and child both write afterwards."""
    with opened(path) as database:
        for number in range(int(rounds)):
            _fork_once(database, number)


def _fork_once(database: Database, number: int) -> None:
    within, forking = threading.Event(), threading.Event()

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, f"thread-{number}", now)
        within.set()
        forking.wait(10)
        sum(range(100_000))  # go on for a while after the fork was asked for

    writer = threading.Thread(target=database.write, args=(body,))
    writer.start()
    within.wait(10)
    forking.set()
    child = os.fork()
    if child == 0:
        _in_child(lambda: add(database, f"child-{number}"))
    writer.join()
    add(database, f"parent-{number}")
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def fork_within(path: str) -> None:
    """Fork within a write transaction, in the very thread that is in it."""
    children: list[int] = []

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, "parent", now)
        child = os.fork()
        if child == 0:
            _in_child(lambda: add(database, "child"))
        children.append(child)

    with opened(path) as database:
        database.open()
        database.write(body)
        os.waitpid(children[0], 0)
        add(database, "parent-2")
    say("done")


def fork_past_hooks(path: str) -> None:
    """Fork by the C library, so that Python's hooks are passed by."""
    with opened(path) as database:
        add(database, "parent")
        child = ctypes.CDLL(None).fork()
        if child == 0:
            _in_child(lambda: add(database, "child"))
        os.waitpid(child, 0)
        add(database, "parent-2")
    say("done")


def fork_with_foreign(path: str) -> None:
    """Fork while the program has a connection of its own to the file open."""
    with opened(path) as database:
        database.open()
        own = sqlite3.connect(path, isolation_level=None)
        own.execute("SELECT count(*) FROM millrace_meta").fetchall()
        child = os.fork()
        if child == 0:
            _in_child(lambda: add(database, "child"))
        os.waitpid(child, 0)
        own.execute("INSERT INTO millrace_locks VALUES('own', 1, 1)")
        own.close()
    say("done")


def fork_watched(path: str) -> None:
    """Fork while there is a watch: the parent's goes on, the child has none and may make its own."""
    heard = threading.Event()
    with opened(path) as database:
        watch = database.watch(heard.set)
        child = os.fork()
        if child == 0:

            def in_child() -> None:
                mine = threading.Event()
                watch.close()
                other = database.watch(mine.set)
                heard.clear()
                add(database, "child")
                say("child heard" if mine.wait(10) and not heard.is_set() else "child deaf")
                other.close()

            _in_child(in_child)
        os.waitpid(child, 0)
        say("parent heard" if heard.wait(10) else "parent deaf")
        watch.close()


def fork_and_show_locks(path: str) -> None:
    """Ask the kernel, in a forked child, who holds the locks of a write transaction."""
    with opened(path) as database:
        add(database, "parent")
        child = os.fork()
        if child == 0:
            held: list[bool] = []
            database.write(lambda _connection, _now: held.append(files.locks_hold(path)))
            say("child holds its locks" if held == [True] else "child holds nothing")
            sys.exit(0)
        os.waitpid(child, 0)


def fork_and_fall_out(path: str) -> None:
    """Fork within a write transaction; an error carries the child out of it while the parent is still inside."""

    def body(connection: Connection, now: int) -> None:
        add_lock(connection, "parent", now)
        child = os.fork()
        if child == 0:
            raise LookupError
        os.waitpid(child, 0)
        gate = Gate(path)
        say("gate free" if gate.try_take() else "gate still held")
        gate.close()

    with opened(path) as database:
        database.open()
        pid = os.getpid()
        try:
            database.write(body)
        except LookupError:
            say("child out" if os.getpid() != pid else "parent out")
            sys.exit(0)
        add(database, "after")
    say("done")


def fork_closed(path: str) -> None:
    """Close before the fork, and open another in the child."""
    with opened(path) as database:
        add(database, "parent")
    child = os.fork()
    if child == 0:
        with opened(path) as mine:
            add(mine, "child")
        say("child wrote")
        sys.exit(0)
    os.waitpid(child, 0)


def fork_from_threads(path: str) -> None:
    """Fork from several threads at once, with several databases open."""
    exits: list[int] = []
    with opened(path) as database, opened(f"{path}-2") as second:
        database.open()
        second.open()

        def work(number: int) -> None:
            for turn in range(2):
                child = os.fork()
                if child == 0:
                    second.open()
                    add(database, f"{number}-{turn}")
                    os._exit(0)
                exits.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    say(" ".join(map(str, exits)))


def multiprocess(path: str, method: str) -> None:
    """Write from processes of `multiprocessing`, started by one of its methods."""
    with opened(path) as database:
        add(database, "parent")
        multiprocessing.set_start_method(method)
        children = [multiprocessing.Process(target=_write_once, args=(path, number)) for number in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        say(" ".join(str(child.exitcode) for child in children))


def _write_once(path: str, number: int) -> None:
    with opened(path) as database:
        add(database, f"child-{number}")


def _in_child(action: Callable[[], object]) -> None:
    """Do something in a forked child, tell how it went, and end as a script would, with all of Python's clearing up."""
    try:
        action()
    except MillraceError as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(3)
    sys.exit(0)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
