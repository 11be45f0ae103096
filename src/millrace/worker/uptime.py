"""The clock by which a worker measures: seconds that go on while the machine is suspended.

`time.monotonic` stands still in a suspended laptop, where leases go on passing; CLOCK_BOOTTIME does not. Where it is
missing the monotonic clock stands in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["uptime"]

_clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)

#: Seconds since some fixed moment, suspended time included.
uptime: Callable[[], float] = time.monotonic if _clock is None else partial(time.clock_gettime, _clock)
