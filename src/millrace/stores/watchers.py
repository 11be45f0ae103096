"""Who of this process wants to hear of changes, and telling them; for every store that listens to other processes.

A hint is never the truth: it may come for nothing, and several may come as one. How others are heard is the listener's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Listening", "Watch", "Watchers"]


class Listening(Protocol):
    """What hears of other processes; see the `listener` of each store."""

    @property
    def live(self) -> bool:
        """Whether it hears them at this moment."""
        ...

    def stop(self) -> None:
        """End it; what it has under way is over when this returns."""
        ...


L = TypeVar("L", bound=Listening)


class Watchers(Generic[L]):
    """The subscriptions to one store, and the one listener that they share while there are any.

    Args:
        listen: Starts a listener that calls what it is given with each hint; None where there is to be none.
        log: Where a callback that fails is told.

    Attributes:
        some: The subscriptions; replaced, never changed, so that it may be read without a lock.
        listener: The listener, while there is one.
    """

    def __init__(self, listen: Callable[[Callable[[], None]], L] | None, log: logging.Logger) -> None:
        self._listen, self._log = listen, log
        self.some: tuple[Watch, ...] = ()
        self.listener: L | None = None
        self._free_locks()

    def _free_locks(self) -> None:
        self._changing = threading.Lock()  # of `some` and `listener`
        # Held while callbacks run, so that `Watch.close` can promise that none runs afterwards; re-entrant, because a
        # callback may close its own watch.
        self._telling = threading.RLock()

    def disown(self) -> None:
        """Drop what a forked child inherited: subscribers and listener are the parent's."""
        self.some, self.listener = (), None
        self._free_locks()  # threads that are not here may hold them

    def add(self, on_change: Callable[[], None]) -> Watch:
        """Subscribe; the first subscription starts the listener.

        Raises:
            StoreUnavailable: The listener cannot be started.
        """
        watch = Watch(self, on_change)
        with self._changing:
            before = self.some
            self.some = (*before, watch)  # first, for the listener tells to look once it listens
            if self.listener is None and self._listen is not None:
                try:
                    self.listener = self._listen(self.tell)
                except BaseException:
                    self.some = before
                    raise
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

    @property
    def live(self) -> bool:
        """Whether other processes are heard at this moment."""
        listener = self.listener
        return listener is not None and listener.live

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
                    self._log.exception("a callback of watch() failed: %r", watch.on_change)

    def close(self) -> None:
        """End every subscription."""
        for watch in self.some:
            self.remove(watch)


class Watch:
    """One subscription."""

    __slots__ = ("_watchers", "on_change")

    def __init__(self, watchers: Watchers[Any], on_change: Callable[[], None]) -> None:
        self._watchers = watchers
        self.on_change = on_change

    @property
    def live(self) -> bool:
        """Whether hints of other processes come at this moment."""
        return self._watchers.live

    def close(self) -> None:
        """Stop: the callback is not called any more once this returns. A second call does nothing."""
        self._watchers.remove(self)
