"""Forks: the child works on its own or says that it cannot, and the parent loses nothing.

Played in processes of their own, because a fork of the test's process would take its threads' locks along.
"""

from __future__ import annotations

import sqlite3

import pytest

from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import count_locks, lock_names
from tests.stores.sqlite.files.stage import Actor


def sound(path: str) -> bool:
    own = sqlite3.connect(path)
    try:
        return own.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        own.close()


def test_fork_while_another_thread_writes(path: str, opener: Opener) -> None:
    """Fifty rounds: the thread's transaction ends first, then parent and child each open the file anew."""
    rounds = 50
    with Actor("fork", path, rounds) as parent:
        exits = [parent.hear() for _ in range(rounds)]
        parent.leave()

    assert exits == ["0"] * rounds
    assert opener(path).read(count_locks) == 3 * rounds
    assert sound(path)


def test_a_child_really_holds_the_locks_that_it_believes_to_hold(path: str) -> None:
    """The one thing that makes a child's connection safe: the kernel knows of its locks."""
    with Actor("fork_and_show_locks", path) as parent:
        assert parent.hear() == "child holds its locks"
        parent.leave()


def test_a_fork_within_a_transaction_gives_a_child_that_refuses(path: str, opener: Opener) -> None:
    """There the database cannot come to rest, because it is its own thread that keeps it from it."""
    with Actor("fork_within", path) as parent:
        said = parent.hear()
        assert parent.hear() == "done"
        parent.leave()

    assert said.startswith(f"StoreUnavailable: {path} was open while process ")
    assert "start processes with 'spawn', or open the file only after the fork (close() before it)" in said
    assert opener(path).read(lock_names) == ["parent", "parent-2"]
    assert sound(path)


def test_a_child_that_leaves_the_parent_s_transaction_touches_nothing_of_it(path: str, opener: Opener) -> None:
    """An error carries the child out of the body: no ROLLBACK, no LOCK_UN, both would be the parent's."""
    with Actor("fork_and_fall_out", path) as parent:
        assert parent.hear() == "child out"
        assert parent.hear() == "gate still held"
        assert parent.hear() == "done"
        parent.leave()

    assert opener(path).read(lock_names) == ["after", "parent"]
    assert sound(path)


def test_a_fork_that_python_does_not_know_of_is_noticed_by_the_process_number(path: str, opener: Opener) -> None:
    with Actor("fork_past_hooks", path) as parent:
        said = parent.hear()
        assert parent.hear() == "done"
        parent.leave()

    assert said.startswith(f"StoreUnavailable: {path} was open while process ")
    assert opener(path).read(lock_names) == ["parent", "parent-2"]
    assert sound(path)


def test_a_connection_of_the_program_itself_across_a_fork_is_noticed_by_its_missing_locks(
    path: str, opener: Opener
) -> None:
    with Actor("fork_with_foreign", path) as parent:
        said = parent.hear()
        assert parent.hear() == "done"
        parent.leave()

    assert said.startswith(f"StoreUnavailable: {path} was open while process ")
    assert opener(path).read(lock_names) == ["own"]
    assert sound(path)


def test_a_watch_goes_on_in_the_parent_and_ends_in_the_child(path: str) -> None:
    with Actor("fork_watched", path) as parent:
        assert parent.hear() == "child heard"
        assert parent.hear() == "parent heard"
        parent.leave()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_way_to_start_processes_works(path: str, opener: Opener, method: str) -> None:
    with Actor("multiprocess", path, method) as parent:
        assert parent.hear() == "0 0 0 0"
        parent.leave()

    assert opener(path).read(lock_names) == [*(f"child-{number}" for number in range(4)), "parent"]
    assert sound(path)


def test_a_database_closed_before_the_fork_troubles_nobody(path: str, opener: Opener) -> None:
    with Actor("fork_closed", path) as parent:
        assert parent.hear() == "child wrote"
        parent.leave()

    assert opener(path).read(lock_names) == ["child", "parent"]


def test_two_threads_that_fork_at_once_do_not_wait_for_each_other(path: str, opener: Opener) -> None:
    with Actor("fork_from_threads", path) as parent:
        assert parent.hear() == "0 0 0 0 0 0 0 0"
        parent.leave()

    assert opener(path).read(count_locks) == 8
