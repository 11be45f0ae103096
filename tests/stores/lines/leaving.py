"""A store that was never closed and that nobody has any more. Owns how one is left behind, and what must go with it."""

from __future__ import annotations

import gc

from millrace import Millrace, NewJob
from tests.leaks import Held

__all__ = ["forget", "is_gone"]


def forget(url: str) -> None:
    """Use an app in every way that starts something, and leave it."""
    app = Millrace(url)
    app.task(name="add")(lambda a: a)
    app.enqueue(NewJob("add", {"a": 1}))
    assert app.depth() == 1


def is_gone(before: Held) -> bool:
    """Collect, again and again: a thread that was sending has held it meanwhile."""
    gc.collect()
    return not Held.now().since(before)
