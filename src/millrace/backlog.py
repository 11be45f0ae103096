"""What waits in the whole store, for metrics: by queue how many jobs, and since when. Owns how often it is read.

That read grows with what waits, so it is made at most once a second, and so that it takes no more than a twentieth of
the time; what was read last stands until then. It says the same in every process that asks.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic

from millrace.errors import MillraceError
from millrace.metrics.families import DEPTH, OLDEST_SECONDS, STORE_UP
from millrace.metrics.readings import Readings
from millrace.store import Store

__all__ = ["Backlog"]

_PAUSE = 1.0  # seconds between two reads, at least
_SHARE = 20  # and so many times as long as the last one took
_MOST_QUEUES = 1000  # that are told apart, the deepest


class Backlog:
    """What waits in one store.

    Args:
        store: Returns it; of an app that is closed and opened again it is another one.
        clock: Seconds, of which only differences count.

    >>> from millrace.stores import MemoryStore
    >>> store = MemoryStore()
    >>> Backlog(lambda: store).read().value(STORE_UP)
    1.0
    """

    def __init__(self, store: Callable[[], Store], clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = Lock()
        self._last: Readings | None = None
        self._again = 0.0
        self._known: set[str] = set()  # queues in which something has waited: empty, they are told as such

    def read(self) -> Readings:
        """Return what waits, as it was read last or is read now; a store that does not answer is told as down."""
        with self._lock:
            began = self._clock()
            if self._last is None or began >= self._again:
                self._last = self._look()
                ended = self._clock()
                self._again = ended + max(_PAUSE, (ended - began) * _SHARE)
            return self._last

    def _look(self) -> Readings:
        readings = Readings()
        store = self._store()
        try:
            waiting = store.waiting()
            now = store.now()
        except MillraceError:
            readings.set(STORE_UP, (), 0)
            return readings
        readings.set(STORE_UP, (), 1)
        depth: dict[str, int] = dict.fromkeys(self._known, 0)
        since: dict[str, int] = dict.fromkeys(self._known, now)
        for each in waiting:
            depth[each.queue] = depth.get(each.queue, 0) + each.number
            since[each.queue] = min(since.get(each.queue, now), each.since)
        queues = sorted(depth, key=lambda queue: -depth[queue])[:_MOST_QUEUES]
        self._known = set(queues)
        for queue in queues:
            readings.set(DEPTH, (queue,), depth[queue])
            readings.set(OLDEST_SECONDS, (queue,), max(now - since[queue], 0) / 1e6)
        return readings
