"""A store that was never closed and that nobody has any more: its connections and threads go with it."""

from __future__ import annotations

import pytest

from tests.leaks import Held
from tests.stores.lines.bare import until
from tests.stores.lines.leaving import forget, is_gone
from tests.stores.lines.sides import Side


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_it_leaves_no_connection_and_no_thread_behind(side: Side) -> None:
    before = Held.now()
    forget(side.url())
    until(lambda: is_gone(before))
