"""Hearing of changes: at once within the process, by the listener across processes; and what a fork asks of both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from millrace.stores import watchers
from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.listener import Listener

__all__ = ["Watchers"]

_log = logging.getLogger("millrace.sqlite")


class Watchers(watchers.Watchers[Listener]):
    """The subscriptions to one database, and the one listener thread that all of them share while there are any."""

    def __init__(self, path: str, connect: Callable[[], Connection], commits: Callable[[], int]) -> None:
        def listen(tell: Callable[[], None]) -> Listener:
            listener = Listener(path, connect, commits, tell)
            listener.start()
            return listener

        super().__init__(listen, _log)
        self._resting: Listener | None = None

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
        super().disown()
