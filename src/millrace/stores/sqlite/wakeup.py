"""Who wants to hear of changes, and telling them: at once within the process, by the listener across processes.

A hint is never the truth: it may come for nothing, and several may come as one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.listener import Listener

__all__ = ["Watch", "Watchers"]

_log = logging.getLogger("millrace.sqlite")


class Watchers:
    """The subscriptions to one database, and the one listener thread that all of them share while there are any."""

    def __init__(self, path: str, connect: Callable[[], Connection], commits: Callable[[], int]) -> None:
        self._path, self._connect, self._commits = path, connect, commits
        self.some: tuple[Watch, ...] = ()  #: replaced, never changed, so that it may be read without a lock
        self.listener: Listener | None = None
        self._resting: Listener | None = None
        self._changing = threading.Lock()  # of `some` and `listener`
        # Held while callbacks run, so that `Watch.close` can promise that none runs afterwards; re-entrant, because a
        # callback may close its own watch.
        self._telling = threading.RLock()

    def add(self, on_change: Callable[[], None]) -> Watch:
        """Subscribe; the first subscription starts the listener.

        Raises:
            StoreUnavailable: The database cannot be opened for it.
        """
        watch = Watch(self, on_change)
        with self._changing:
            if self.listener is None:
                listener = Listener(self._path, self._connect, self._commits, self.tell)
                listener.start()
                self.listener = listener
            self.some = (*self.some, watch)
        return watch

    def remove(self, watch: Watch) -> None:
        """Unsubscribe; the last one stops the listener."""
        with self._changing:
            self.some = tuple(other for other in self.some if other is not watch)
            listener = None
            if not self.some:
                listener, self.listener = self.listener, None
        with self._telling:
            pass  # a callback that was running has ended by now
        if listener is not None:
            listener.stop()

    def tell(self) -> None:
        """Call every subscriber."""
        if not self.some:
            return
        with self._telling:
            for watch in self.some:
                if watch not in self.some:  # an earlier callback has closed it
                    continue
                try:
                    watch.on_change()
                except Exception:  # noqa: BLE001 - the others shall hear of it too
                    _log.exception("a callback of watch() failed: %r", watch.on_change)

    def close(self) -> None:
        """End every subscription."""
        for watch in self.some:
            self.remove(watch)

    def rest(self, until: float) -> bool:
        """Close the listener's connection before a fork and let it make none; tell whether that went in time."""
        listener = self.listener
        if listener is None:
            return True
        if not listener.looking.acquire(timeout=max(until - time.monotonic(), 0)):
            return False
        self._resting = listener
        connection = listener.detach()
        if connection is not None:
            connection.close()
        return True

    def resume(self) -> None:
        """Let the listener look again, in the parent."""
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.looking.release()

    def immortalize(self) -> None:
        """Keep the listener's connection for ever, open or not."""
        if self.listener is not None:
            self.listener.immortalize()

    def change_over(self) -> None:
        """Let the listener open the file anew, without closing what it has."""
        listener = self.listener
        if listener is not None:
            with listener.looking:
                listener.immortalize()
                listener.detach()

    def disown(self) -> None:
        """Drop what a forked child inherited: subscribers and thread are the parent's."""
        if self.listener is not None:
            self.listener.disown()
        self.some, self.listener = (), None
        self._changing, self._telling = threading.Lock(), threading.RLock()  # threads that are not here may hold them


class Watch:
    """One subscription."""

    __slots__ = ("_watchers", "on_change")

    live = True  #: the listener looks at the file itself, which nothing can put out of its reach

    def __init__(self, watchers: Watchers, on_change: Callable[[], None]) -> None:
        self._watchers = watchers
        self.on_change = on_change

    def close(self) -> None:
        """Stop: the callback is not called any more once this returns. A second call does nothing."""
        self._watchers.remove(self)
