"""Hearing of what other processes do, from a server: a thread that listens on a connection of its own.

What the server says is lost whenever the connection is; so once it listens, at first and after each reconnect, it tells
its subscribers to look. How to subscribe, and what of the things heard is a hint, is for the `listener` of each store.
"""

from __future__ import annotations

import logging
import math
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from millrace.stores.line import Connection
from millrace.stores.lines import Limits
from millrace.stores.watchdog import Watchdog

__all__ = ["QUIET", "Audible", "ServerListener"]

QUIET = 30.0  #: seconds of silence after which the connection is tried
_FIRST, _LONGEST = 0.05, 5.0  # seconds between two tries to connect, before jitter


class Audible(Connection, Protocol):
    """What a listener needs of a connection."""

    def fileno(self) -> int:
        """Return the socket's number, to wait on."""
        ...


C = TypeVar("C", bound=Audible)


class ServerListener(Generic[C]):
    """Listens until it is stopped, however often the connection is lost.

    Args:
        limits: The store's settings.
        watchdog: Keeps the deadlines.
        on_hint: Called for each batch of what is heard, and once whenever it has begun to listen.
        follows: Tells whether to hear of ends as well.
        quiet: Seconds; see `QUIET`.

    Attributes:
        live: Whether it listens at this moment, as far as it knows.
    """

    def __init__(
        self,
        limits: Limits,
        watchdog: Watchdog,
        on_hint: Callable[[], None],
        *,
        follows: Callable[[], bool] = lambda: False,
        quiet: float = QUIET,
    ) -> None:
        self._limits, self._watchdog, self._on_hint = limits, watchdog, on_hint
        self._follows, self._quiet = follows, quiet
        self.live = False
        self._stopping = threading.Event()
        self._bell, self._button = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="millrace-listener", daemon=True)

    # -- what each store says of its driver

    _errors: type[Exception]  #: the root of what the driver raises
    _log: logging.Logger
    _spacing = 0.0  #: seconds between two hints: what comes meanwhile is told by one

    def _connect(self) -> C:
        """Open a connection; raise an error of the driver's where there is none to be had."""
        raise NotImplementedError

    def _subscribe(self, connection: C) -> None:
        """Have the server tell of what others do, under a deadline."""
        raise NotImplementedError

    def _try(self, connection: C) -> None:
        """Ask for a sign of life, after a long silence."""
        raise NotImplementedError

    def _heard(self, connection: C) -> bool:
        """Take in what has come, perhaps nothing; tell whether there was a hint in it."""
        raise NotImplementedError

    def _said(self, error: Exception) -> Exception:
        """Return an error as it is to be told."""
        return error

    # -- the thread

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
            connection: C | None = None
            try:
                connection = self._connect()
                self._watchdog.add(connection)
                with self._in_time(connection):
                    self._subscribe(connection)
                delay, told = _FIRST, False
                self.live = True
                self._on_hint()
                self._hear(connection)
            except (self._errors, OSError) as error:
                if not told:
                    self._log.info("no hints from %s for now, polling goes on: %s", self._limits.url, self._said(error))
                    told = True
            finally:
                self.live = False
                if connection is not None:
                    self._expect(connection)
                    connection.close()
                    self._watchdog.remove(connection)
            self._stopping.wait(random.uniform(0, delay))
            delay = min(delay * 2, _LONGEST)

    def _hear(self, connection: C) -> None:
        """Tell of hints until stopped, or until the connection is lost."""
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN)
        poller.register(self._bell.fileno(), select.POLLIN)
        while not self._stopping.is_set():
            if not poller.poll(self._quiet * 1000):
                self._try(connection)
            if self._heard(connection):
                self._on_hint()
                self._stopping.wait(self._spacing)

    # -- deadlines

    @contextmanager
    def _in_time(self, connection: C) -> Generator[None]:
        """Be at something for the length of a `with` block, for as long as a read may take."""
        self._expect(connection)
        try:
            yield
        finally:
            connection.until = math.inf

    def _expect(self, connection: C) -> None:
        """Have the connection shut down, unless what is waited for comes in time."""
        connection.until = time.monotonic() + self._limits.read_deadline
        if not self._watchdog.awake:
            self._watchdog.wake()
