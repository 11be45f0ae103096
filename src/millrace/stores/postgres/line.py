"""One connection to a PostgreSQL server that is kept. Owns what becomes of it after an error; see `stores.line`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import psycopg

from millrace.errors import MillraceError
from millrace.stores.line import Line as KeptLine
from millrace.stores.postgres.connection import Connection, connect
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.trouble import (
    explained,
    is_read_only,
    may_be_repeated,
    no_longer_prepared,
    unreachable,
)
from millrace.stores.watchdog import Watchdog

__all__ = ["Line"]

_PAUSE = 0.02  # seconds before a second try of what the server has rolled back, before jitter


class Line(KeptLine[Connection]):
    """A connection to one server, for one use at a time.

    Args:
        settings: Where to.
        watchdog: Keeps the deadlines.
        name: What the server's own views show.
        deadline: Seconds for a call that names none.
        on_open: Called with each new connection, before anything else is run on it.
        reached: Set once the server has been reached, by this line or another of the store's.
        closing: Set when calls that wait for the server shall give up.
    """

    _errors = psycopg.Error

    def __init__(
        self,
        settings: Settings,
        watchdog: Watchdog,
        *,
        name: str,
        deadline: float,
        on_open: Callable[[Connection], None],
        reached: threading.Event,
        closing: threading.Event,
    ) -> None:
        super().__init__(watchdog, deadline=deadline, on_open=on_open, reached=reached, closing=closing)
        self._settings, self._name = settings, name

    def _connect(self) -> Connection:
        return connect(self._settings, deadline=self._deadline, name=self._name)

    def _unreachable(self, error: Exception) -> MillraceError:
        return unreachable(self._settings, error)

    def _explained(self, error: BaseException, seconds: float, *, lost: bool, late: bool) -> MillraceError | None:
        return explained(error, self._settings, seconds, lost=lost, late=late)

    def _undone(self, error: Exception, connection: Connection) -> bool:
        if no_longer_prepared(error):
            self.drop()
            return True
        if may_be_repeated(error):
            time.sleep(random.uniform(0, _PAUSE))
            return True
        if connection.lost or is_read_only(error):
            self.drop()
        return False
