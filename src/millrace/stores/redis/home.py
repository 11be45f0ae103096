"""All that one store has in one process: connections, watchdog, listener, time, and what its workers hold.

A forked child inherits sockets that are its parent's; it makes a home of its own and leaves the old one alone.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from millrace.clock import SECOND, Clock
from millrace.stores.held import Held
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.layout import FORMAT, found, settle
from millrace.stores.redis.lines import Lines
from millrace.stores.redis.listener import Listener
from millrace.stores.redis.server import greet, require, require_channels, warn
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.wire import Connection
from millrace.stores.servertime import GivenTime, ServerTime, Time
from millrace.stores.watchers import Watchers

__all__ = ["Home"]

_log = logging.getLogger("millrace.redis")
_abandoned: list[Home] = []  # of parents: never used, and never freed


class Home:
    """What a store has open, or will have: nothing is opened before the first use.

    Args:
        settings: Where to.
        clock: Where the time comes from; None is the server.
    """

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        self.pid = os.getpid()
        self._settings = settings
        self.keys = Keyspace(settings.tag)
        self.lines = Lines(settings, self._welcome)
        self.time: Time = ServerTime(self._ask_time) if clock is None else GivenTime(clock)
        self.held = Held()
        self.watchers = Watchers(self._listen if settings.listen else None, _log)
        self._settling = threading.Lock()
        self._settled: list[str] = []  # what was done to the layout and not told yet
        self._known = False  # what is asked and told but once

    def open(self) -> None:
        """Connect, where nothing is connected yet: the server is then one that will do."""
        if not self.lines.opened:
            self.lines.write(lambda _connection, _again: None, repeatable=True)

    def exists(self) -> bool:
        """Tell whether our keys are there, on a connection that makes none."""
        lines = Lines(self._settings, self._look)
        try:
            return lines.read(lambda connection, _: found(connection, self.keys)) is not None
        except ValueError:
            return False
        finally:
            lines.close()

    def migrate(self) -> list[str]:
        """Connect; return what was done to the layout and not told yet."""
        self.lines.write(lambda connection, _: self._settle(connection), repeatable=True)
        with self._settling:
            done, self._settled = self._settled, []
        return done

    def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        if not self.lines.closed:
            self.watchers.close()
            self.lines.close()

    def abandon(self) -> None:
        """Leave all of it alone for ever: it is the parent's."""
        _abandoned.append(self)

    def _welcome(self, connection: Connection, name: str) -> None:
        """Look whether the server and the layout are as they should be, on each new connection."""
        server = greet(connection, self._settings, name)
        require(server, self._settings)
        if not self._known:
            require_channels(connection, self.keys, self._settings)
            warn(server, self._settings)
            self._known = True
        self._settle(connection)

    def _look(self, connection: Connection, name: str) -> None:
        greet(connection, self._settings, name)

    def _settle(self, connection: Connection) -> None:
        if settle(connection, self.keys, self._settings):
            with self._settling:
                self._settled.append(f"layout {FORMAT} of prefix {self._settings.tag!r}")

    def _ask_time(self) -> int:
        seconds, micros = self.lines.read(lambda connection, _: connection.command("TIME"))
        return int(seconds) * SECOND + int(micros)

    def _follows(self) -> bool:
        return not self.lines.working

    def _listen(self, on_hint: Callable[[], None]) -> Listener:
        listener = Listener(self._settings, self.keys, self.lines.watchdog, on_hint, follows=self._follows)
        listener.start()
        return listener
