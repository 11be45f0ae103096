"""A store that was never closed and that nobody has any more: its connections and threads go with it."""

from __future__ import annotations

import gc
import threading

import pytest

from millrace import Millrace, NewJob
from tests.leaks import Held
from tests.servers.databases import Database
from tests.stores.postgres.lines.conftest import Opener, until


def forget(database: Database) -> None:
    """Use an app in every way that starts something, and leave it."""
    app = Millrace(database.url())
    app.task(name="add")(lambda a: a)
    app.enqueue(NewJob("add", {"a": 1}))
    assert app.depth() == 1


def is_gone(before: Held) -> bool:
    """Collect, again and again: a thread that was sending has held it meanwhile."""
    gc.collect()
    return not Held.now().since(before)


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_it_leaves_no_connection_and_no_thread_behind(postgres: Database) -> None:
    before = Held.now()
    forget(postgres)
    until(lambda: is_gone(before))


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_it_sends_its_last_notice_all_the_same(postgres: Database, opened: Opener) -> None:
    told = threading.Event()
    listening = opened(postgres.url())
    listening.watch(told.set)
    until(told.is_set)
    told.clear()
    before = Held.now()
    forget(postgres)
    gc.collect()
    until(told.is_set)
    until(lambda: is_gone(before))
