"""A store that was never closed and that nobody has any more: what waits to be told is told."""

from __future__ import annotations

import gc
import threading

import pytest

from tests.leaks import Held
from tests.servers.databases import Database
from tests.stores.lines.leaving import forget, is_gone
from tests.stores.postgres.lines.conftest import Opener, until


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_it_sends_its_last_notice_all_the_same(postgres: Database, opened: Opener) -> None:
    told = threading.Event()
    listening = opened(postgres.url())
    listening.watch(told.set)
    until(told.is_set)
    told.clear()
    before = Held.now()
    forget(postgres.url())
    gc.collect()
    until(told.is_set)
    until(lambda: is_gone(before))
