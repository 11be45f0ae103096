"""A child of fork() makes connections of its own, and leaves its parent's alone, which go on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

from tests.stores.lines.bare import AnyBare
from tests.stores.lines.sides import Side


def in_child(body: Callable[[], None]) -> int:
    """Run a body in a forked child; return how it ended, 0 where it did not fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are about: that is the point
        child = os.fork()
    if child == 0:
        try:
            body()
        except BaseException:  # noqa: BLE001 - nothing may leave the child but its answer
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_has_connections_of_its_own_and_the_parents_go_on(store: AnyBare, side: Side) -> None:
    store.begin_work(1)
    watch = store.watch(lambda: None)
    store.changed("mail")
    mine = {store.write(side.ask_number), store.read(side.ask_number)}

    def body() -> None:
        assert store.write(side.ask_number) not in mine
        assert store.read(side.ask_number) not in mine
        store.changed("mail")
        store.close()

    assert in_child(body) == 0
    there = side.numbers()
    assert mine <= there
    assert {store.write(side.ask_number) for _ in range(4)} <= there
    watch.close()


def test_a_child_may_use_a_store_that_was_not_used_before(store: AnyBare, side: Side) -> None:
    assert in_child(store.close) == 0
    assert store.write(side.ask) == side.answer


def test_a_store_that_was_closed_before_the_fork_opens_in_the_child(store: AnyBare, side: Side) -> None:
    store.close()

    def body() -> None:
        store.write(side.ask)
        store.close()

    assert in_child(body) == 0
