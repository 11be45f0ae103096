"""All that a Redis store has in one process; see `stores.serverhome`. Owns what each new connection is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable

from millrace.clock import SECOND, Clock
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.layout import FORMAT, found, settle
from millrace.stores.redis.lines import Lines
from millrace.stores.redis.listener import Listener
from millrace.stores.redis.server import greet, require, require_channels, warn
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.wire import Connection
from millrace.stores.serverhome import ServerHome

__all__ = ["Home"]

_log = logging.getLogger("millrace.redis")


class Home(ServerHome[Connection]):
    """What a store has open, or will have: nothing is opened before the first use.

    Args:
        settings: Where to.
        keys: The names of our keys and channels.
        clock: Where the time comes from; None is the server.
    """

    def __init__(self, settings: Settings, keys: Keyspace, clock: Clock | None) -> None:
        super().__init__(Lines(settings, self._welcome), clock, listen=settings.listen, log=_log)
        self._settings, self._keys = settings, keys
        self._known = False  # what is asked and told but once

    def exists(self) -> bool:
        """Tell whether our keys are there, on a connection that makes none."""
        lines = Lines(self._settings, self._look)
        try:
            return lines.read(lambda connection, _: found(connection, self._keys)) is not None
        except ValueError:
            return False
        finally:
            lines.close()

    def _welcome(self, connection: Connection, name: str) -> None:
        """Look whether the server and the layout are as they should be, on each new connection."""
        server = greet(connection, self._settings, name)
        require(server, self._settings)
        if not self._known:
            require_channels(connection, self._keys, self._settings)
            warn(server, self._settings)
            self._known = True
        self._prepare(connection)

    def _look(self, connection: Connection, name: str) -> None:
        greet(connection, self._settings, name)

    def _make(self, connection: Connection) -> list[str]:
        if settle(connection, self._keys, self._settings):
            return [f"layout {FORMAT} of prefix {self._settings.tag!r}"]
        return []

    def _ask_time(self) -> int:
        seconds, micros = self.lines.read(lambda connection, _: connection.command("TIME"))
        return int(seconds) * SECOND + int(micros)

    def _listener(self, on_hint: Callable[[], None]) -> Listener:
        return Listener(self._settings, self._keys, self.lines.watchdog, on_hint, follows=self._follows)
