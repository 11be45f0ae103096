"""A store that cannot be used for now. Owns what counts as that, when to try again, and that it is told of once."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Lock

from millrace.errors import ConfigurationError, MillraceError, SchemaMismatch, StoreUnavailable
from millrace.worker.notice import Notices
from millrace.worker.telling import LOGGER
from millrace.worker.uptime import uptime

__all__ = ["UNUSABLE", "Outage"]

#: What a store raises that cannot be used, whatever is asked of it: it is out of reach, it refuses its user, its tables
#: are not as they were. Once a worker runs, each is an outage: whoever took the grants away may bring them back, and no
#: outcome is to be lost meanwhile.
UNUSABLE = (StoreUnavailable, ConfigurationError, SchemaMismatch)

_FIRST, _LONGEST = 0.1, 5.0  # seconds between two tries, before jitter


class Outage:
    """Whether the store cannot be used, and the backoff of the tries to use it.

    >>> Outage(Notices()).open
    False
    """

    __slots__ = ("_delay", "_lock", "_notices", "_since", "_told", "error", "next_try", "on_over", "open")

    def __init__(self, notices: Notices) -> None:
        self.open = False
        self.next_try = 0.0  #: by `uptime`
        self.on_over: Callable[[], None] = lambda: None  #: called when it is over
        self.error: BaseException | None = None  #: the last one
        self._notices = notices
        self._lock = Lock()
        self._since = 0.0
        self._told: set[type[BaseException]] = set()  # kinds of errors, of this outage
        self._delay = _FIRST

    def hit(self, error: BaseException) -> None:
        """Note that the store could not be used, and put off the next try."""
        with self._lock:
            now = uptime()
            self.error = error
            if not self.open:
                self.open, self._since, self._delay = True, now, _FIRST
                self._told.clear()
                self._tell(error)
                self._notices.outages.tell()
            elif type(error) not in self._told:  # such as a server that is there again, and refuses now
                self._tell(error)
            if now >= self.next_try:  # several threads may find out at once; that is one try
                self.next_try = now + self._delay * random.uniform(0.5, 1.5)
                self._delay = min(self._delay * 2, _LONGEST)

    def _tell(self, error: BaseException) -> None:
        self._told.add(type(error))
        LOGGER.error(
            "the store cannot be used: %s; no more jobs are claimed, outcomes are kept, it is tried again",
            error,
            exc_info=None if isinstance(error, MillraceError) else error,
        )

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
