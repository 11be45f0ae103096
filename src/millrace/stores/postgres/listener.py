"""Hearing of what other processes commit: a thread that listens for notices on a connection of its own.

After LISTEN it tells its subscribers to look once, since what came before was not heard; after each reconnect the same
again. It never has a transaction open: a listener that does fills the server's queue of notices, and then commits fail.
A process without workers waits for jobs to end: it follows, which its session shows by a lock, and is told of ends too.
"""

from __future__ import annotations

import logging
import math
import random
import select
import socket
import threading
import time
from collections.abc import Callable

import psycopg

from millrace.stores.postgres.connection import Connection, connect
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import quoted
from millrace.stores.watchdog import Watchdog

__all__ = ["QUIET", "Listener"]

_log = logging.getLogger("millrace.postgres")

QUIET = 30.0  #: seconds of silence after which the connection is tried
_FIRST, _LONGEST = 0.05, 5.0  # seconds between two tries to connect, before jitter


class Listener:
    """Listens until it is stopped, however often the connection is lost.

    Args:
        settings: Where to.
        watchdog: Keeps the deadlines.
        is_own: Tells whether a server process is one of our own connections: what it says, this process knows.
        on_hint: Called for each batch of notices, and once after each LISTEN.
        follows: Tells whether to hear of ends as well.
        quiet: Seconds; see `QUIET`.

    Attributes:
        live: Whether it listens at this moment, as far as it knows.
    """

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
        self._settings, self._watchdog, self._is_own, self._on_hint = settings, watchdog, is_own, on_hint
        self._follows, self._quiet = follows, quiet
        self.live = False
        self._stopping = threading.Event()
        self._bell, self._button = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="millrace-listener", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a hint that is being told is over when this returns, unless it is the one that stops us."""
        self._stopping.set()
        self._button.send(b"!")
        if self._thread is not threading.current_thread():
            self._thread.join()
            self._bell.close()
            self._button.close()

    def _run(self) -> None:
        delay, told = _FIRST, False
        while not self._stopping.is_set():
            connection: Connection | None = None
            try:
                connection = self._listening()
                delay, told = _FIRST, False
                self.live = True
                self._on_hint()
                self._hear(connection)
            except (psycopg.Error, OSError) as error:
                if not told:
                    _log.info("no notices from %s for now, polling goes on: %s", self._settings.url, error)
                    told = True
            finally:
                self.live = False
                if connection is not None:
                    self._watchdog.remove(connection)
                    connection.close()
            self._stopping.wait(random.uniform(0, delay))
            delay = min(delay * 2, _LONGEST)

    def _listening(self) -> Connection:
        connection = connect(self._settings, name="millrace listens")
        self._watchdog.add(connection)
        try:
            self._under_deadline(connection, f"listen {quoted(self._settings.channel)}")
            if self._follows():
                channel = self._settings.ends_channel
                lock = f"select pg_advisory_lock_shared(hashtextextended('{channel}', 0))"
                self._under_deadline(connection, f"listen {quoted(channel)}; {lock}")
        except BaseException:
            self._watchdog.remove(connection)
            connection.close()
            raise
        return connection

    def _under_deadline(self, connection: Connection, statement: str) -> None:
        connection.until = time.monotonic() + self._settings.read_deadline
        self._watchdog.wake()
        try:
            connection.script(statement)
        finally:
            connection.until = math.inf

    def _hear(self, connection: Connection) -> None:
        """Tell of notices until stopped, or until the connection is lost."""
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN)
        poller.register(self._bell.fileno(), select.POLLIN)
        while not self._stopping.is_set():
            if not poller.poll(self._quiet * 1000):
                self._under_deadline(connection, "select 1")
            senders = connection.notices()
            if any(not self._is_own(sender) for sender in senders):
                self._on_hint()
