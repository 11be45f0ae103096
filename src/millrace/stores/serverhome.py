"""All that a store on a server has in one process: connections, watchdog, listener, time, and what its workers hold.

A forked child inherits sockets that are its parent's; it makes a home of its own and leaves the old one alone. What is
asked of the server, and what it must have for us, is for the `home` of each store to say.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from millrace.clock import Clock
from millrace.stores.held import Held
from millrace.stores.lines import Lines
from millrace.stores.serverlistener import Audible, ServerListener
from millrace.stores.servertime import GivenTime, ServerTime, Time
from millrace.stores.watchers import Listening, Watchers

__all__ = ["ServerHome"]

C = TypeVar("C", bound=Audible)

_abandoned: list[ServerHome[Any]] = []  # of parents: never used, and never freed, for a freed connection says goodbye


class ServerHome(Generic[C]):
    """What a store has open, or will have: nothing is opened before the first use.

    Args:
        lines: Its connections; each new one is to be handed to `_prepare`.
        clock: Where the time comes from; None is the server.
        listen: Whether a watch listens for what other processes do.
        log: Where a callback of a watch that fails is told.
    """

    def __init__(self, lines: Lines[C], clock: Clock | None, *, listen: bool, log: logging.Logger) -> None:
        self.pid = os.getpid()
        self.lines = lines
        self.time: Time = ServerTime(self._ask_time) if clock is None else GivenTime(clock)
        self.held = Held()
        self.watchers = Watchers(self._listen if listen else None, log)
        self._preparing = threading.Lock()
        self._prepared: list[str] = []  # what was made on the server and not told yet

    # -- what each store says of its server

    def exists(self) -> bool:
        """Tell whether what we keep there is there, on a connection that makes none of it."""
        raise NotImplementedError

    def _make(self, connection: C) -> list[str]:
        """See that what we keep there is there and ours, made where it is missing; return what was done."""
        raise NotImplementedError

    def _ask_time(self) -> int:
        """Ask for the server's time, in microseconds since 1970."""
        raise NotImplementedError

    def _listener(self, on_hint: Callable[[], None]) -> ServerListener[C]:
        """Make a listener that calls what it is given."""
        raise NotImplementedError

    # -- opening and closing

    def open(self) -> None:
        """Connect, where nothing is connected yet: the server is then one that will do."""
        if not self.lines.opened:
            self.lines.write(lambda _connection, _again: None, repeatable=True)

    def migrate(self) -> list[str]:
        """Connect; return what was made on the server and not told yet."""
        self.lines.write(lambda connection, _: self._prepare(connection), repeatable=True)
        with self._preparing:
            done, self._prepared = self._prepared, []
        return done

    def changed(self, queues: Iterable[str]) -> None:
        """Tell this process that something was done, and other ones where the server does not do that by itself.

        Args:
            queues: Where jobs may have become claimable.
        """
        del queues
        self.watchers.tell()

    def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        if not self.lines.closed:
            self.watchers.close()
            self.lines.close()

    def abandon(self) -> None:
        """Leave all of it alone for ever: it is the parent's."""
        _abandoned.append(self)

    # -- for the homes

    def _prepare(self, connection: C) -> None:
        done = self._make(connection)
        if done:
            with self._preparing:
                self._prepared += done

    def _follows(self) -> bool:
        """Tell whether a listener is to hear of jobs that end: a worker would hear of every step of every other one."""
        return not self.lines.working

    def _listen(self, on_hint: Callable[[], None]) -> Listening:
        listener = self._listener(on_hint)
        listener.start()
        return listener
