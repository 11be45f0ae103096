"""The thread in which a worker's listeners are called, so that none of them can hold up a job. Owns it and its queue.

What is told has been written already. Events that listeners cannot keep up with wait here, up to a number; beyond it
they are dropped, and it is said how many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from millrace.events import Event
from millrace.hooks import Hooks
from millrace.worker.telling import LOGGER

__all__ = ["MOST_WAITING", "Announcer"]

MOST_WAITING = 100_000  #: events that wait to be told


class Announcer:
    """Tells listeners in a thread of its own, which starts with the first event, and awaits async ones on its loop.

    Args:
        hooks: Who listens.

    >>> announcer = Announcer(Hooks())
    >>> announcer.close(1.0)
    True
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._box: SimpleQueue[Sequence[Event] | None] = SimpleQueue()
        self._lock = Lock()
        self._waiting = 0
        self._dropped = 0
        self._thread: Thread | None = None
        self._runner: asyncio.Runner | None = None

    def tell(self, events: Sequence[Event]) -> None:
        """Have events told soon. From any thread; never waits."""
        with self._lock:
            if self._waiting + len(events) > MOST_WAITING:
                if not self._dropped:
                    LOGGER.error("listeners are too slow: %d events wait, and more are dropped", self._waiting)
                self._dropped += len(events)
                return
            self._waiting += len(events)
            self._box.put(events)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="millrace-listeners", daemon=True)
                self._thread.start()

    def close(self, patience: float) -> bool:
        """Tell what waits, and end the thread within so many seconds; return whether it has."""
        with self._lock:
            thread = self._thread
            self._box.put(None)
        if thread is None:
            return True
        thread.join(patience)
        if thread.is_alive():
            LOGGER.error("listeners have not returned in time; %d events are left untold", self._waiting)
        return not thread.is_alive()

    # -- the thread

    def _run(self) -> None:
        try:
            while (events := self._box.get()) is not None:
                self._tell(events)
        finally:
            if self._runner is not None:
                self._runner.close()

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                self._hooks.tell([event], self._await)
            except BaseException:  # noqa: BLE001 - a listener that exits must not end the thread of all
                LOGGER.exception("a listener ended its thread with %r; the others are told all the same", event)
        with self._lock:
            self._waiting -= len(events)
            dropped, self._dropped = self._dropped, 0
        if dropped:
            LOGGER.error("%d events were not told to listeners, which were too slow", dropped)

    def _await(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner()
        self._runner.run(work)
