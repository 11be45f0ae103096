"""Time as the stores see it: integer microseconds since 1970, UTC. Owns the conversions and the clock protocol.

Aware datetimes live only at the edge of the API. Durations within a process are monotonic and not this file's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["SECOND", "Clock", "SystemClock", "from_datetime", "micros", "to_datetime"]

SECOND = 1_000_000  #: microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What a store asks for the time. `millrace.testing.ManualClock` is one that tests move by hand."""

    def now(self) -> int:
        """Return the time in microseconds since 1970, UTC."""
        ...


class SystemClock:
    """The host's clock.

    >>> SystemClock().now() > 1_700_000_000 * SECOND
    True
    """

    __slots__ = ()

    def now(self) -> int:
        """Return the host's time in microseconds since 1970, UTC."""
        return time.time_ns() // 1000


def to_datetime(at: int) -> datetime:
    """Turn microseconds into an aware datetime in UTC.

    >>> to_datetime(1_500_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return _EPOCH + timedelta(microseconds=at)


def from_datetime(at: datetime) -> int:
    """Turn an aware datetime into microseconds.

    >>> from_datetime(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (at - _EPOCH) // _MICROSECOND


def micros(seconds: float) -> int:
    """Turn seconds into whole microseconds, rounded to the nearest.

    >>> micros(0.25)
    250000
    """
    return round(seconds * SECOND)
