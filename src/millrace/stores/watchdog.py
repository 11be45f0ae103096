"""Deadlines that hold: a thread that shuts a socket down from outside when a call on it takes too long.

The driver's own timeouts do not: on a network that has gone silent a call waits for minutes. Owns that thread; what a
call is, and what becomes of a connection that was shut down, is the line's business.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from queue import SimpleQueue
from typing import Protocol

__all__ = ["Guarded", "Watchdog"]

_LOOK_EVERY = 0.25  # seconds, while any call is under way: so late may a deadline be kept


class Guarded(Protocol):
    """A connection with a call under way, or none."""

    until: float  #: when the call must have ended, by `time.monotonic()`; infinite while there is none

    def shut_down(self) -> None:
        """Make the call fail, from another thread."""
        ...


class Watchdog:
    """Sees to the deadlines of the connections of one store.

    Its thread runs from the first call to `stop`, or until nobody has the store any more: it asks for nothing then, and
    holds nothing of the store while it sleeps.
    """

    def __init__(self) -> None:
        self._guarded: tuple[Guarded, ...] = ()
        self._changing = threading.Lock()
        self._wake: SimpleQueue[None] = SimpleQueue()  # one may put from a finalizer, wherever that runs
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self.awake = False  #: whether the thread will look again by itself

    def add(self, guarded: Guarded) -> None:
        """See to a connection from now on."""
        with self._changing:
            self._guarded = (*self._guarded, guarded)
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(
                    target=_run, args=(weakref.ref(self), self._wake), name="millrace-watchdog", daemon=True
                )
                weakref.finalize(self, self._wake.put, None).atexit = False
                self._thread.start()

    def remove(self, guarded: Guarded) -> None:
        """See to a connection no more."""
        with self._changing:
            self._guarded = tuple(other for other in self._guarded if other is not guarded)

    def wake(self) -> None:
        """Look from now on: a call has begun. Only needed where not `awake`."""
        self._wake.put(None)

    def stop(self) -> None:
        """End the thread."""
        with self._changing:
            thread, self._thread = self._thread, None
            self._stopped.set()
        self._wake.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def watch(self) -> bool:
        """Look while any call is under way; tell whether to go on. Only its thread calls it."""
        if self._stopped.is_set():
            return False
        # In this order: a call that begins meanwhile either is seen below, or finds us not awake and wakes us.
        self.awake = True
        while (nearest := self._look()) < math.inf:
            if self._stopped.wait(min(max(nearest - time.monotonic(), 0.001), _LOOK_EVERY)):
                return False
        self.awake = False
        if self._look() < math.inf:
            self._wake.put(None)
        return True

    def _look(self) -> float:
        nearest, now = math.inf, time.monotonic()
        for guarded in self._guarded:
            until = guarded.until
            if until <= now:
                guarded.shut_down()
            else:
                nearest = min(nearest, until)
        return nearest


def _run(reference: weakref.ref[Watchdog], wake: SimpleQueue[None]) -> None:
    while True:
        wake.get()
        watchdog = reference()
        if watchdog is None or not watchdog.watch():
            return
        del watchdog  # else it would be held while nobody needs it
