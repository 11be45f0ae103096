"""Hearing of what other processes write: a thread that subscribes on a connection of its own.

The scripts publish what they have done. Messages are lost whenever the connection is; so once it has subscribed, at
first and after each reconnect, it tells its subscribers to look. A process without workers waits for jobs to end and
follows those messages too; a worker does not, for there is one with every step of every other one.
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
from typing import Any

from millrace.errors import MillraceError
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.server import greet
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.trouble import explained
from millrace.stores.redis.wire import Connection, Refused, WireError, connect
from millrace.stores.watchdog import Watchdog

__all__ = ["QUIET", "Listener"]

_log = logging.getLogger("millrace.redis")

QUIET = 30.0  #: seconds of silence after which the connection is tried
_FIRST, _LONGEST = 0.05, 5.0  # seconds between two tries to connect, before jitter
_TOLD = frozenset({b"message", b"pmessage"})
_SPACING = 0.001  # seconds between two hints: what comes meanwhile is told by one


class Listener:
    """Listens until it is stopped, however often the connection is lost.

    Args:
        settings: Where to.
        keys: The names of the channels.
        watchdog: Keeps the deadlines.
        on_hint: Called for each batch of messages, and once after each subscription.
        follows: Tells whether to hear of ends as well.
        quiet: Seconds; see `QUIET`.

    Attributes:
        live: Whether it listens at this moment, as far as it knows.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Keyspace,
        watchdog: Watchdog,
        on_hint: Callable[[], None],
        *,
        follows: Callable[[], bool] = lambda: False,
        quiet: float = QUIET,
    ) -> None:
        self._settings, self._keys, self._watchdog, self._on_hint = settings, keys, watchdog, on_hint
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
                connection = connect(self._settings)
                self._watchdog.add(connection)
                self._subscribe(connection)
                delay, told = _FIRST, False
                self.live = True
                self._on_hint()
                self._hear(connection)
            except (WireError, OSError) as error:
                if not told:
                    _log.info("no hints from %s for now, polling goes on: %s", self._settings.url, self._said(error))
                    told = True
            finally:
                self.live = False
                if connection is not None:
                    self._watchdog.remove(connection)
                    connection.close()
            self._stopping.wait(random.uniform(0, delay))
            delay = min(delay * 2, _LONGEST)

    def _said(self, error: Exception) -> MillraceError | Exception:
        settings = self._settings
        return explained(error, settings, settings.read_deadline, lost=False, late=False) or error

    def _subscribe(self, connection: Connection) -> None:
        told = ["wake", "ends"] if self._follows() else ["wake"]
        verb, name = ("PSUBSCRIBE", self._keys.everywhere) if self._settings.shard else ("SUBSCRIBE", self._keys.key)
        channels = [name(each) for each in told]
        self._begin(connection)
        try:
            greet(connection, self._settings, "millrace listens")
            connection.send(verb, *channels)
            answered = 0
            while answered < len(channels):
                answered += len(_checked(connection.messages()))
        finally:
            connection.until = math.inf

    def _begin(self, connection: Connection) -> None:
        connection.until = time.monotonic() + self._settings.read_deadline
        self._watchdog.wake()

    def _hear(self, connection: Connection) -> None:
        """Tell of messages until stopped, or until the connection is lost."""
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN)
        poller.register(self._bell.fileno(), select.POLLIN)
        while not self._stopping.is_set():
            if not poller.poll(self._quiet * 1000):
                if connection.until == math.inf:  # no answer is waited for yet
                    self._begin(connection)
                    connection.send("PING")
            elif connection.is_stale():  # there is something to read
                self._begin(connection)
                heard = _checked(connection.messages())
                connection.until = math.inf
                if any(message[0] in _TOLD for message in heard):
                    self._on_hint()
                    self._stopping.wait(_SPACING)


def _checked(messages: list[Any]) -> list[list[bytes]]:
    """Return the messages.

    Raises:
        Refused: One is an error.
    """
    for message in messages:
        if type(message) is Refused:
            raise message
    return messages
