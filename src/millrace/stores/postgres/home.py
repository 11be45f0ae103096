"""All that a PostgreSQL store has in one process; see `stores.serverhome`. Owns its notices and its questions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from millrace.clock import Clock
from millrace.stores.postgres.borrowed import BorrowingListener
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.lines import Lines
from millrace.stores.postgres.listener import Listener
from millrace.stores.postgres.migrations import migrate, prepare, version_of
from millrace.stores.postgres.notices import Notices
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import SERVER_NOW
from millrace.stores.serverhome import ServerHome

__all__ = ["Home"]

TIME = f"select {SERVER_NOW}"

_log = logging.getLogger("millrace.postgres")


class Home(ServerHome[Connection]):
    """What a store has open, or will have: nothing is opened before the first use.

    Args:
        settings: Where to.
        clock: Where the time comes from; None is the server.
    """

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        lines = Lines(settings, self._prepare)
        super().__init__(lines, clock, listen=settings.listen, log=_log)
        self._settings = settings
        self._is_own = lines.is_own
        self._notices = Notices(settings, lines)

    def exists(self) -> bool:
        """Tell whether the schema has our tables, on a connection that makes none."""
        lines = Lines(self._settings, lambda _: None)
        try:
            return lines.read(lambda connection, _: version_of(connection, self._settings)) > 0
        finally:
            lines.close()

    def migrate(self) -> list[str]:
        """Bring the schema to the newest version; return what was done to it and not told yet."""
        lines = Lines(self._settings, lambda _: None)  # ours refuse one that is too old
        try:
            done = lines.write(lambda connection, _: migrate(connection, self._settings), repeatable=True)
        finally:
            lines.close()
        return [*super().migrate(), *done]

    def changed(self, queues: Iterable[str]) -> None:
        """Tell this process at once, and others soon: of each queue at most once in 20 ms."""
        self.watchers.tell()
        self._notices.send(queues)

    def close(self) -> None:
        """Release every connection and thread. A second call does nothing."""
        self._notices.close()  # what waits is sent on the lines
        super().close()

    def _make(self, connection: Connection) -> list[str]:
        return prepare(connection, self._settings)

    def _ask_time(self) -> int:
        at: int = self.lines.read(lambda connection, _: connection.rows(TIME, {}))[0][0]
        return at

    def _listener(self, on_hint: Callable[[], None]) -> Listener:
        listener = Listener if self._settings.pool is None else BorrowingListener
        return listener(self._settings, self.lines.watchdog, self._is_own, on_hint, follows=self._follows)
