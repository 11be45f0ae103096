"""A bell that one thread waits for and others ring. Owns the waiting of the worker's threads; cheaper than an Event.

Rings merge: however often it was rung, it wakes its waiter once.
"""

from __future__ import annotations

from threading import Lock

__all__ = ["Bell"]


class Bell:
    """Rung by any thread, waited for by one.

    >>> bell = Bell()
    >>> bell.ring()
    >>> bell.wait(1.0), bell.wait(0.0)
    (True, False)
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the waiter, or let its next wait end at once."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # another thread has just rung it
                return

    def wait(self, timeout: float) -> bool:
        """Wait at most so many seconds, negative for ever; tell whether it was rung."""
        return self._lock.acquire(timeout=timeout)
