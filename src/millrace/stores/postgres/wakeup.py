"""Who of this process wants to hear of changes, and telling them. A hint is never the truth: some come for nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

__all__ = ["Listening", "Watch", "Watchers"]

_log = logging.getLogger("millrace.postgres")


class Listening(Protocol):
    """What hears of other processes; see `listener`."""

    @property
    def live(self) -> bool:
        """Whether it hears them at this moment."""
        ...

    def stop(self) -> None:
        """End it; what it has under way is over when this returns."""
        ...


class Watchers:
    """The subscriptions to one store, and the one listener that they share while there are any.

    Args:
        listen: Starts a listener that calls what it is given with each hint; None where there is to be none.
    """

    def __init__(self, listen: Callable[[Callable[[], None]], Listening] | None) -> None:
        self._listen = listen
        self._some: tuple[Watch, ...] = ()  # replaced, never changed, so that it may be read without a lock
        self._listener: Listening | None = None
        self._changing = threading.Lock()
        # Held while callbacks run, so that `Watch.close` can promise that none runs afterwards; re-entrant, because a
        # callback may close its own watch.
        self._telling = threading.RLock()

    def add(self, on_change: Callable[[], None]) -> Watch:
        """Subscribe; the first subscription starts the listener."""
        watch = Watch(self, on_change)
        with self._changing:
            if self._listener is None and self._listen is not None:
                self._listener = self._listen(self.tell)
            self._some = (*self._some, watch)
        return watch

    def remove(self, watch: Watch) -> None:
        """Unsubscribe; the last one stops the listener."""
        with self._changing:
            self._some = tuple(other for other in self._some if other is not watch)
            listener = None
            if not self._some:
                listener, self._listener = self._listener, None
        with self._telling:
            pass  # a callback that was running has ended by now
        if listener is not None:
            listener.stop()

    @property
    def live(self) -> bool:
        """Whether other processes are heard at this moment."""
        listener = self._listener
        return listener is not None and listener.live

    def tell(self) -> None:
        """Call every subscriber."""
        if not self._some:
            return
        with self._telling:
            for watch in self._some:
                if watch not in self._some:  # an earlier callback has closed it
                    continue
                try:
                    watch.on_change()
                except Exception:  # noqa: BLE001 - the others shall hear of it too
                    _log.exception("a callback of watch() failed: %r", watch.on_change)

    def close(self) -> None:
        """End every subscription."""
        for watch in self._some:
            self.remove(watch)


class Watch:
    """One subscription."""

    __slots__ = ("_watchers", "on_change")

    def __init__(self, watchers: Watchers, on_change: Callable[[], None]) -> None:
        self._watchers = watchers
        self.on_change = on_change

    @property
    def live(self) -> bool:
        """Whether hints of other processes come at this moment."""
        return self._watchers.live

    def close(self) -> None:
        """Stop: the callback is not called any more once this returns. A second call does nothing."""
        self._watchers.remove(self)
