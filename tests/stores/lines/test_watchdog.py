"""The thread that keeps deadlines: it looks only while a call is under way, and shuts down what is late."""

from __future__ import annotations

import math
import threading
import time

from millrace.stores.watchdog import Watchdog
from tests.stores.lines.bare import until


class Call:
    """A connection, as far as the watchdog is concerned."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.until = time.monotonic() + seconds
        self.shut = threading.Event()

    def shut_down(self) -> None:
        """Note that it was shut down."""
        self.shut.set()


def test_what_is_late_is_shut_down_and_nothing_else() -> None:
    dog = Watchdog()
    late, other = Call(0.01), Call(60)
    for call in (late, other):
        dog.add(call)
    dog.wake()
    assert late.shut.wait(10)
    assert not other.shut.is_set()
    dog.stop()


def test_it_sleeps_while_no_call_is_under_way_and_wakes_for_the_next() -> None:
    dog = Watchdog()
    call = Call()
    dog.add(call)
    dog.wake()
    until(lambda: not dog.awake)
    call.until = time.monotonic()
    dog.wake()
    assert call.shut.wait(10)
    dog.stop()


def test_what_was_removed_is_left_alone() -> None:
    dog = Watchdog()
    removed, seen = Call(0), Call(0)
    for call in (removed, seen):
        dog.add(call)
    dog.remove(removed)
    dog.wake()
    assert seen.shut.wait(10)
    assert not removed.shut.is_set()
    dog.stop()


def test_one_that_never_began_stops() -> None:
    dog = Watchdog()
    dog.stop()
    dog.stop()
    dog.add(Call(0))
