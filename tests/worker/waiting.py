"""Waiting for what must come, with a deadline that only bounds a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE = 20.0  # seconds


def eventually(what: Callable[[], bool]) -> None:
    """Wait until something holds."""
    until = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not what():
        assert time.monotonic() < until, "it did not come true in time"
        pause.wait(0.005)


def await_event(event: threading.Event) -> None:
    """Wait for an event of another thread."""
    assert event.wait(PATIENCE), "the event was not set in time"
