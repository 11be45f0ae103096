"""What callers see of a store: hints that come, and calls that fail. Owns how each is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from millrace.errors import StoreUnavailable
from tests.stores.lines.bare import PATIENCE, AnyBare

__all__ = ["SOON", "Ear", "fails", "listening"]

SOON = 30.0  # seconds: far above what is asked for, far below what TCP would take


class Ear:
    """Hears hints, from any thread."""

    def __init__(self) -> None:
        self._heard = threading.Semaphore(0)
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        self._heard.release()

    def hears(self) -> bool:
        """Wait for one hint more."""
        return self._heard.acquire(timeout=PATIENCE)


def listening(store: AnyBare) -> Ear:
    """Watch a store, and wait until it listens: it tells to look once."""
    ear = Ear()
    store.watch(ear)
    assert ear.hears()
    return ear


def fails(call: Callable[[], Any], said: str) -> None:
    """See that a call fails soon."""
    before = time.monotonic()
    with pytest.raises(StoreUnavailable, match=said):
        call()
    assert time.monotonic() - before < SOON
