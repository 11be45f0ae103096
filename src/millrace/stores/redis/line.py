"""One connection to a Redis server that is kept. Owns what becomes of it after an error; see `stores.line`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from millrace.errors import MillraceError, StoreUnavailable
from millrace.stores.line import Line as KeptLine
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.trouble import explained, is_elsewhere, is_passing, unreachable
from millrace.stores.redis.whereabouts import Whereabouts
from millrace.stores.redis.wire import Connection, WireError, connect
from millrace.stores.watchdog import Watchdog

__all__ = ["Line"]

_PAUSE = 0.02  # seconds before a second try of what the server has not begun, before jitter


class Line(KeptLine[Connection]):
    """A connection to one server, for one use at a time.

    Args:
        settings: Where to.
        whereabouts: Where in a cluster our keys are.
        watchdog: Keeps the deadlines.
        deadline: Seconds for a call that names none.
        on_open: Called with each new connection, before anything else is run on it.
        reached: Set once the server has been reached, by this line or another of the store's.
        closing: Set when calls that wait for the server shall give up.
    """

    _errors = WireError

    def __init__(
        self,
        settings: Settings,
        whereabouts: Whereabouts,
        watchdog: Watchdog,
        *,
        deadline: float,
        on_open: Callable[[Connection], None],
        reached: threading.Event,
        closing: threading.Event,
    ) -> None:
        super().__init__(watchdog, deadline=deadline, on_open=self._welcome, reached=reached, closing=closing)
        self._settings, self._whereabouts, self._on_connect = settings, whereabouts, on_open

    def _connect(self) -> Connection:
        try:
            return connect(self._settings, address=self._whereabouts.address)
        except WireError:
            self._whereabouts.forget()
            raise

    def _opened(self, until: float, *, patient: bool) -> Connection:
        connection = super()._opened(until, patient=patient)
        connection.answered = 0  # of what this try will ask
        return connection

    def _open(self) -> Connection:
        before = self._whereabouts.address
        try:
            return super()._open()
        except MillraceError:
            if self._whereabouts.address in {None, before}:
                raise
            return super()._open()  # it has said where to go

    def _unreachable(self, error: Exception) -> MillraceError:
        return unreachable(self._settings, error)

    def _explained(self, error: BaseException, seconds: float, *, lost: bool, late: bool) -> MillraceError | None:
        return explained(error, self._settings, seconds, lost=lost, late=late)

    def _passes(self, error: BaseException) -> bool:
        return is_passing(error) or isinstance(error, StoreUnavailable)

    def _welcome(self, connection: Connection) -> None:
        try:
            self._on_connect(connection)
        except WireError as error:
            address = is_elsewhere(error, self._settings)
            if address is not None:
                self._whereabouts.found(address)
            raise

    def _undone(self, error: Exception, connection: Connection) -> bool:
        address = is_elsewhere(error, self._settings)
        if address is not None:
            self._whereabouts.found(address)
        elif not is_passing(error):
            if connection.lost:
                self.drop()
            return False
        self.drop()  # the next one may lead to the server that is in charge
        time.sleep(random.uniform(0, _PAUSE))
        return connection.answered == 0
