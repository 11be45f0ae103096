"""The server's time, kept beside it. Owns how often it is read anew, and that it never steps back within a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from millrace.clock import Clock

__all__ = ["GivenTime", "ServerTime", "Time"]

_FRESH = 30.0  # seconds: for so long our own monotonic clock is as good as the server's


class Time:
    """A time that never steps back."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """Return the time in microseconds since 1970."""
        at = self._read()
        if at > self._last:
            self._last = at
            return at
        return self._last

    def given(self) -> int | None:
        """Return the time that statements are to be given; None where they ask the server."""
        raise NotImplementedError

    def _read(self) -> int:
        raise NotImplementedError


class GivenTime(Time):
    """The time of a clock that the store was given: for tests.

    >>> from millrace.testing import ManualClock
    >>> GivenTime(ManualClock(start=5)).now()
    5
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def given(self) -> int:
        """Return the clock's time."""
        return self.now()

    def _read(self) -> int:
        return self._clock.now()


class ServerTime(Time):
    """The server's time: asked for once, then carried on by our own monotonic clock, and asked for again at times.

    Args:
        ask: Asks the server, and returns its time in microseconds.

    >>> at = ServerTime(lambda: 1_800_000_000_000_000)
    >>> 1_800_000_000_000_000 <= at.now() <= at.now() < 1_800_000_010_000_000
    True
    """

    def __init__(self, ask: Callable[[], int]) -> None:
        super().__init__()
        self._ask = ask
        self._asking = threading.Lock()
        self._offset: float | None = None  # microseconds from our monotonic clock to the server's
        self._asked_at = 0.0

    def given(self) -> None:
        """Leave it to the server."""

    def _read(self) -> int:
        offset = self._offset
        if offset is None or time.monotonic() - self._asked_at > _FRESH:
            offset = self._measured()
        return int(time.monotonic() * 1_000_000 + offset)

    def _measured(self) -> float:
        with self._asking:
            if self._offset is not None and time.monotonic() - self._asked_at <= _FRESH:
                return self._offset  # another thread has just asked
            before = time.monotonic()
            at = self._ask()
            after = time.monotonic()
            self._asked_at = after
            self._offset = at - (before + after) / 2 * 1_000_000
            return self._offset
