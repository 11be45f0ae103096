"""A child of fork() makes connections of its own, and leaves its parent's alone, which go on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

from tests.servers.databases import Database
from tests.stores.postgres.lines.conftest import Bare, ask

BACKEND = ask("select pg_backend_pid()::bigint")


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


def test_a_child_has_connections_of_its_own_and_the_parents_go_on(store: Bare, postgres: Database) -> None:
    store.begin_work(1)
    watch = store.watch(lambda: None)
    store.changed("mail")
    mine = store.write(BACKEND)

    def body() -> None:
        assert store.write(BACKEND) != mine
        assert store.read(BACKEND) != mine
        store.changed("mail")
        store.close()

    assert in_child(body) == 0
    backends = {backend for (backend,) in postgres.run("select pid from pg_stat_activity")}
    assert mine in backends
    assert {store.write(BACKEND) for _ in range(4)} <= backends
    watch.close()


def test_a_child_may_use_a_store_that_was_not_used_before(store: Bare) -> None:
    assert in_child(store.close) == 0
    assert store.write(BACKEND) > 0


def test_a_store_that_was_closed_before_the_fork_opens_in_the_child(store: Bare) -> None:
    store.close()

    def body() -> None:
        store.write(BACKEND)
        store.close()

    assert in_child(body) == 0
