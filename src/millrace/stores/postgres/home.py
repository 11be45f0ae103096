"""All that one store has in one process: connections, watchdog, listener, notices, time, and what its workers hold.

A forked child inherits sockets that are its parent's; it makes a home of its own and leaves the old one alone.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable

from millrace.clock import Clock
from millrace.stores.held import Held
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.lines import Lines
from millrace.stores.postgres.listener import Listener
from millrace.stores.postgres.migrations import migrate, version_of
from millrace.stores.postgres.notices import Notices
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import SERVER_NOW
from millrace.stores.servertime import GivenTime, ServerTime, Time
from millrace.stores.watchers import Watchers

__all__ = ["Home"]

TIME = f"select {SERVER_NOW}"

_log = logging.getLogger("millrace.postgres")
_abandoned: list[Home] = []  # of parents: never used, and never freed, for a freed connection says goodbye


class Home:
    """What a store has open, or will have: nothing is opened before the first use.

    Args:
        settings: Where to.
        clock: Where the time comes from; None is the server.
    """

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        self.pid = os.getpid()
        self._settings = settings
        self.lines = Lines(settings, self._welcome)
        self.time: Time = ServerTime(self._ask_time) if clock is None else GivenTime(clock)
        self.held = Held()
        self.notices = Notices(settings, self.lines)
        self.watchers = Watchers(self._listen if settings.listen else None, _log)
        self._migrating = threading.Lock()
        self._migrated: list[str] = []  # and not told yet

    def open(self) -> None:
        """Connect, where nothing is connected yet: the schema is then as it should be."""
        if not self.lines.opened:
            self.lines.write(lambda _connection, _again: None, repeatable=True)

    def exists(self) -> bool:
        """Tell whether the schema has our tables, on a connection that makes none."""
        lines = Lines(self._settings, lambda _: None)
        try:
            return lines.read(lambda connection, _: version_of(connection, self._settings)) > 0
        finally:
            lines.close()

    def migrate(self) -> list[str]:
        """Connect; return what was done to the schema and not told yet."""
        self.lines.write(lambda connection, _: self._welcome(connection), repeatable=True)
        with self._migrating:
            done, self._migrated = self._migrated, []
        return done

    def changed(self, queues: Iterable[str]) -> None:
        """Tell this process at once, and others soon."""
        self.watchers.tell()
        self.notices.send(queues)

    def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        if not self.lines.closed:
            self.watchers.close()
            self.notices.close()
            self.lines.close()

    def abandon(self) -> None:
        """Leave all of it alone for ever: it is the parent's."""
        _abandoned.append(self)

    def _welcome(self, connection: Connection) -> None:
        """Look whether the schema is as it should be, on each new connection; make it so where it is not."""
        done = migrate(connection, self._settings)
        if done:
            with self._migrating:
                self._migrated += done

    def _ask_time(self) -> int:
        at: int = self.lines.read(lambda connection, _: connection.rows(TIME, {}))[0][0]
        return at

    def _follows(self) -> bool:
        return not self.lines.working

    def _listen(self, on_hint: Callable[[], None]) -> Listener:
        listener = Listener(self._settings, self.lines.watchdog, self.lines.is_own, on_hint, follows=self._follows)
        listener.start()
        return listener
