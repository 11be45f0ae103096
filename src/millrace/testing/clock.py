"""A clock that stands still until a test moves it. Owns nothing but its time; wakes nobody."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from millrace.checks import duration
from millrace.clock import SECOND, from_datetime, micros
from millrace.errors import ConfigurationError

__all__ = ["ManualClock"]

_START = 1_800_000_000 * SECOND


class ManualClock:
    """A clock for stores under test: give it to a store as `clock=`, and move it by hand. Safe from any thread.

    Args:
        start: Where it stands at first: an aware datetime, or microseconds since 1970. By default in January 2027.

    Raises:
        ConfigurationError: A datetime without timezone, or a negative step.

    >>> clock = ManualClock(start=0)
    >>> clock.advance(1.5)
    >>> clock.now()
    1500000
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, start: datetime | int = _START) -> None:
        self._lock = threading.Lock()
        self._now = _at(start)

    def now(self) -> int:
        """Return the time in microseconds since 1970, UTC."""
        with self._lock:
            return self._now

    def advance(self, seconds: float | timedelta) -> None:
        """Move on by some seconds, or by a `timedelta`.

        Raises:
            ConfigurationError: The step is negative; see `move_to`.
        """
        step = micros(duration("ManualClock.advance", seconds))
        with self._lock:
            self._now += step

    def move_to(self, at: datetime | int) -> None:
        """Move to a time, also to an earlier one, as when the host's clock is corrected.

        Raises:
            ConfigurationError: The datetime has no timezone.
        """
        moved = _at(at)
        with self._lock:
            self._now = moved


def _at(at: datetime | int) -> int:
    if isinstance(at, int):
        return at
    if at.utcoffset() is None:
        raise ConfigurationError(f"{at!r} has no timezone; give an aware datetime, such as datetime.now(UTC)")
    return from_datetime(at)
