"""Hearing of what other processes write, by subscribing; see `stores.serverlistener`. Owns what is subscribed to.

The scripts publish what they have done. A process without workers waits for jobs to end and follows those messages too;
a worker does not, for there is one with every step of every other one. What is published at one node of a cluster is
told at each, so we listen to any one: to the one that the URL names, and where that is gone, to another.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.server import greet
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.trouble import explained
from millrace.stores.redis.wire import Connection, Refused, WireError, connect
from millrace.stores.serverlistener import QUIET, ServerListener
from millrace.stores.watchdog import Watchdog

__all__ = ["Listener"]

_TOLD = frozenset({b"message", b"pmessage"})


class Listener(ServerListener[Connection]):
    """Listens until it is stopped, however often the connection is lost.

    Args:
        settings: Where to.
        keys: The names of the channels.
        watchdog: Keeps the deadlines.
        on_hint: Called for each batch of messages, and once after each subscription.
        follows: Tells whether to hear of ends as well.
        quiet: Seconds of silence after which the connection is tried.
    """

    _errors = WireError
    _log = logging.getLogger("millrace.redis")
    _spacing = 0.001

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
        super().__init__(settings, watchdog, on_hint, follows=follows, quiet=quiet)
        self._settings, self._keys = settings, keys
        self._nodes: list[tuple[str, int]] = []  # of a cluster, as one of them has told

    def _connect(self) -> Connection:
        try:
            return connect(self._settings)
        except WireError:
            for address in self._nodes:
                with suppress(WireError):
                    return connect(self._settings, address=address)
            raise

    def _subscribe(self, connection: Connection) -> None:
        told = ["wake", "ends"] if self._follows() else ["wake"]
        verb, name = ("PSUBSCRIBE", self._keys.everywhere) if self._settings.shard else ("SUBSCRIBE", self._keys.key)
        channels = [name(each) for each in told]
        if greet(connection, self._settings, "millrace listens").clustered:
            self._nodes = _nodes_of_cluster(connection) or self._nodes
        connection.send(verb, *channels)
        answered = 0
        while answered < len(channels):
            answered += len(_checked(connection.messages()))

    def _try(self, connection: Connection) -> None:
        if connection.until == math.inf:  # no answer is waited for yet
            self._expect(connection)
            connection.send("PING")

    def _heard(self, connection: Connection) -> bool:
        if not connection.is_stale():  # there is nothing to read
            return False
        self._expect(connection)
        heard = _checked(connection.messages())
        connection.until = math.inf
        return any(message[0] in _TOLD for message in heard)

    def _said(self, error: Exception) -> Exception:
        settings = self._settings
        return explained(error, settings, settings.read_deadline, lost=False, late=False) or error


def _nodes_of_cluster(connection: Connection) -> list[tuple[str, int]]:
    """Return the addresses of a cluster's nodes; none where this user may not ask for them."""
    (told,) = connection.replies([("CLUSTER", "SLOTS")])
    if type(told) is Refused:
        return []
    named = [(host, port) for _, _, *nodes in told for host, port, *_ in nodes if host not in {None, b"", b"?"}]
    return [(host.decode(), port) for host, port in dict.fromkeys(named)]


def _checked(messages: list[Any]) -> list[list[bytes]]:
    """Return the messages.

    Raises:
        Refused: One is an error.
    """
    for message in messages:
        if type(message) is Refused:
            raise message
    return messages
