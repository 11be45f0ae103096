"""The connections that write and are not in use, and who waits for one. Owns whose turn it is; uses none of them.

Whoever comes when one is free has it, so that a busy thread does not hand over at each call. But who has waited for a
while is handed the next one that is given back: threads that come again and again would else keep it to themselves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Free"]

T = TypeVar("T")

_LONG = 0.02  # seconds: who has waited so long is served before all that come


class _Waiter(Generic[T]):
    __slots__ = ("bell", "given", "since")

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.given: T | None = None
        self.bell = threading.Lock()
        self.bell.acquire()


class Free(Generic[T]):
    """What is free, for several threads.

    >>> free = Free[str]()
    >>> free.put("one")
    >>> free.take(1.0), free.take(0.0)
    ('one', None)
    """

    def __init__(self) -> None:
        self._idle: list[T] = []
        self._waiting: deque[_Waiter[T]] = deque()
        self._lock = threading.Lock()

    def put(self, each: T) -> None:
        """Give one back."""
        with self._lock:
            if not self._waiting:
                self._idle.append(each)
                return
            first = self._waiting[0]
            if time.monotonic() - first.since >= _LONG:
                self._waiting.popleft()
                first.given = each
            else:
                self._idle.append(each)
            if first.bell.locked():
                first.bell.release()

    def take(self, seconds: float | None = None) -> T | None:
        """Take one; None where none has come free within so many seconds. Without a limit it waits."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            waiter = _Waiter[T]()
            self._waiting.append(waiter)
        while True:
            left = -1.0 if seconds is None else max(waiter.since + seconds - time.monotonic(), 0.0)
            rung = waiter.bell.acquire(timeout=left)
            with self._lock:
                if waiter.given is not None:
                    return waiter.given
                if self._idle:
                    self._waiting.remove(waiter)
                    return self._idle.pop()
                if not rung:
                    self._waiting.remove(waiter)
                    return None
