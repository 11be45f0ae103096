"""The turn to write, among the threads of one process. Owns its order: first come first served, the urgent before all.

The lock is handed from its holder to the next in line, so no thread can overtake the queue and none starves.
"""

from __future__ import annotations

import threading
import time
from collections import deque

__all__ = ["WriteLock"]


class WriteLock:
    """A lock with a queue and a deadline.

    The free case is for the caller to write out, `lock.free.acquire(False)`, because every write passes through it.

    >>> lock = WriteLock()
    >>> lock.free.acquire(False), lock.wait(time.monotonic()), lock.release()
    (True, False, None)
    """

    __slots__ = ("_line", "free")

    def __init__(self) -> None:
        self.free = threading.Lock()  #: held while anyone has the turn
        self._line: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads are in line."""
        return len(self._line)

    def wait(self, until: float, *, urgent: bool = False) -> bool:
        """Queue up for the turn until a time of `time.monotonic()`; tell whether it was got."""
        mine = threading.Lock()
        mine.acquire()
        if urgent:
            self._line.appendleft(mine)
        else:
            self._line.append(mine)
        # The holder may have looked at the line just before: then the lock is, or will be, free. Whoever sees that
        # passes the turn on, and that includes us: it goes to the first in line, which need not be this thread.
        if self.free.acquire(blocking=False):
            self.release()
        try:
            if mine.acquire(timeout=max(until - time.monotonic(), 0)):
                return True
        except BaseException:
            if not self._left(mine):
                self.release()
            raise
        return not self._left(mine)

    def _left(self, mine: threading.Lock) -> bool:
        """Leave the line; tell whether that went, or the turn had been handed over at the last moment."""
        try:
            self._line.remove(mine)
        except ValueError:
            return False
        return True

    def release(self) -> None:
        """Hand the turn to the next in line, or free the lock."""
        while True:
            try:
                self._line.popleft().release()
            except IndexError:
                self.free.release()
            else:
                return
            # Someone may have queued up between the look and the release, and found the lock still held.
            if not self._line or not self.free.acquire(blocking=False):
                return
