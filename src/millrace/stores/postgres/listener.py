"""Hearing of what other processes commit, by notices; see `stores.serverlistener`. Owns what is listened to.

It never has a transaction open: a listener that does fills the server's queue of notices, and then commits fail. A
process without workers waits for jobs to end: it follows, which its session shows by a lock, and is told of ends too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg

from millrace.stores.postgres.connection import Connection, connect
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import quoted
from millrace.stores.serverlistener import QUIET, ServerListener
from millrace.stores.watchdog import Watchdog

__all__ = ["Listener"]


class Listener(ServerListener[Connection]):
    """Listens until it is stopped, however often the connection is lost.

    Args:
        settings: Where to.
        watchdog: Keeps the deadlines.
        is_own: Tells whether a server process is one of our own connections: what it says, this process knows.
        on_hint: Called for each batch of notices, and once after each LISTEN.
        follows: Tells whether to hear of ends as well.
        quiet: Seconds of silence after which the connection is tried.
    """

    _errors = psycopg.Error
    _log = logging.getLogger("millrace.postgres")

    def __init__(
        self,
        settings: Settings,
        watchdog: Watchdog,
        is_own: Callable[[int], bool],
        on_hint: Callable[[], None],
        *,
        follows: Callable[[], bool] = lambda: False,
        quiet: float = QUIET,
    ) -> None:
        super().__init__(settings, watchdog, on_hint, follows=follows, quiet=quiet)
        self._settings, self._is_own = settings, is_own

    def _connect(self) -> Connection:
        return connect(self._settings, name="millrace listens")

    def _subscribe(self, connection: Connection) -> None:
        connection.script(f"listen {quoted(self._settings.channel)}")
        if self._follows():
            channel = self._settings.ends_channel
            lock = f"select pg_advisory_lock_shared(hashtextextended('{channel}', 0))"
            connection.script(f"listen {quoted(channel)}; {lock}")

    def _try(self, connection: Connection) -> None:
        with self._in_time(connection):
            connection.script("select 1")

    def _heard(self, connection: Connection) -> bool:
        return any(not self._is_own(sender) for sender in connection.notices())
