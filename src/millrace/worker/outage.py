"""A store that is out of reach. Owns when to try again, and that an outage is told of once."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Lock

from millrace.errors import MillraceError
from millrace.worker.notice import Notices
from millrace.worker.telling import LOGGER
from millrace.worker.uptime import uptime

__all__ = ["Outage"]

_FIRST, _LONGEST = 0.1, 5.0  # seconds between two tries, before jitter


class Outage:
    """Whether the store is out of reach, and the backoff of the tries to reach it.

    >>> Outage(Notices()).open
    False
    """

    __slots__ = ("_delay", "_lock", "_notices", "_since", "error", "next_try", "on_over", "open")

    def __init__(self, notices: Notices) -> None:
        self.open = False
        self.next_try = 0.0  #: by `uptime`
        self.on_over: Callable[[], None] = lambda: None  #: called when it is over
        self.error: BaseException | None = None  #: the last one
        self._notices = notices
        self._lock = Lock()
        self._since = 0.0
        self._delay = _FIRST

    def hit(self, error: BaseException) -> None:
        """Note that the store could not be used, and put off the next try."""
        with self._lock:
            now = uptime()
            self.error = error
            if not self.open:
                self.open, self._since, self._delay = True, now, _FIRST
                expected = isinstance(error, MillraceError)
                LOGGER.error(
                    "the store cannot be used: %s; no more jobs are claimed, outcomes are kept, it is tried again",
                    error,
                    exc_info=None if expected else error,
                )
                self._notices.outages.tell()
            if now >= self.next_try:  # several threads may find out at once; that is one try
                self.next_try = now + self._delay * random.uniform(0.5, 1.5)
                self._delay = min(self._delay * 2, _LONGEST)

    def over(self) -> None:
        """Note that the store has answered."""
        if not self.open:
            return
        with self._lock:
            if self.open:
                self.open = False
                LOGGER.warning("the store is back after %.1f s", uptime() - self._since)
                self._notices.recoveries.tell()
        self.on_over()
