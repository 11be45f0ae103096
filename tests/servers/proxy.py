"""A proxy before a server that misbehaves as networks do. One thread, one selector; owns no protocol.

Silent is not closed: a silent proxy goes on taking what it is sent, so nobody notices by TCP, and delivers it late,
once it is well again, as a network does that sends again what was lost.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal, Self

__all__ = ["Mode", "Proxy"]

Mode = Literal["well", "silent", "resetting", "cutting", "halving"]
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
CHUNK = 65536


@dataclass(eq=False)
class Side:
    """One of the two sockets of a link."""

    socket: socket.socket
    is_client: bool
    waiting: bytearray = field(default_factory=bytearray)  # what is still to be sent to it
    ended: bool = False  # it sends no more


@dataclass(eq=False)
class Link:
    """A client's connection and the server's."""

    client: Side
    server: Side

    def other(self, side: Side) -> Side:
        """The side that a side talks to."""
        return self.server if side is self.client else self.client


class Proxy:
    """Takes connections on a port of its own and hands them on to a server's, while its `with` lasts.

    Modes: `well`; `silent`: nothing comes through, in neither direction, and nobody is told; `resetting`: every
    connection is reset, present and new; `cutting`: the request gets through, and instead of the reply comes a reset;
    `halving`: the first half of the reply, and then a reset.

    Args:
        port: The server's, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._mode: Mode = "well"
        self._hits = 0
        self._links: set[Link] = set()
        self._lock = threading.Lock()  # of the mode, so that a turn has happened once `turn` returns
        self._closing = False

    @property
    def port(self) -> int:
        """Where clients find it."""
        port: int = self._door.getsockname()[1]
        return port

    @property
    def hits(self) -> int:
        """How often a mode has done harm: bytes held back, connections reset."""
        return self._hits

    def turn(self, mode: Mode) -> None:
        """Go over to a mode; return once it is in force."""
        with self._lock:
            self._mode = mode
            if mode == "resetting":
                for link in list(self._links):
                    self._reset(link)
        self._nudge()

    def target(self, port: int) -> None:
        """Hand new connections on to another server from now on."""
        with self._lock:
            self._target = ("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._selector = selectors.DefaultSelector()
        self._door = socket.create_server(("127.0.0.1", 0))
        self._bell, self._button = socket.socketpair()
        self._selector.register(self._door, selectors.EVENT_READ)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="proxy")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._nudge()
        self._thread.join()
        for link in list(self._links):
            self._reset(link)
        for each in (self._door, self._bell, self._button, self._selector):
            each.close()

    def _nudge(self) -> None:
        self._button.send(b"!")

    # -- the thread

    def _serve(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                with self._lock:
                    if key.fileobj is self._bell:
                        self._bell.recv(CHUNK)
                        self._deliver_what_waits()
                    elif key.fileobj is self._door:
                        self._admit()
                    else:
                        self._hear(*key.data)

    def _admit(self) -> None:
        client, _ = self._door.accept()
        if self._mode == "resetting":
            self._hits += 1
            _reset(client)
            return
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:  # the server is down: its clients see what they would see without a proxy
            _reset(client)
            return
        link = Link(Side(client, is_client=True), Side(server, is_client=False))
        self._links.add(link)
        for side in (link.client, link.server):
            side.socket.settimeout(5)
            self._selector.register(side.socket, selectors.EVENT_READ, (link, side))

    def _hear(self, link: Link, side: Side) -> None:
        if link not in self._links:  # reset a moment ago
            return
        try:
            said = side.socket.recv(CHUNK)
        except OSError:
            self._reset(link)
            return
        if not said:
            side.ended = True
            self._selector.unregister(side.socket)
        if said and not side.is_client and self._mode in {"cutting", "halving"}:
            self._hits += 1
            if self._mode == "halving":
                _send(link.client, said[: len(said) // 2])
            self._reset(link)
            return
        link.other(side).waiting += said
        if self._mode == "silent":
            self._hits += 1
        else:
            self._deliver(link)

    def _deliver_what_waits(self) -> None:
        if self._mode != "silent":
            for link in list(self._links):
                self._deliver(link)

    def _deliver(self, link: Link) -> None:
        for side in (link.server, link.client):
            if side.waiting and not _send(side, bytes(side.waiting)):
                self._reset(link)
                return
            side.waiting.clear()
        if link.client.ended or link.server.ended:
            self._forget(link)
            for side in (link.client, link.server):
                side.socket.close()

    def _reset(self, link: Link) -> None:
        if link in self._links:
            self._hits += self._mode == "resetting"
            self._forget(link)
            for side in (link.client, link.server):
                _reset(side.socket)

    def _forget(self, link: Link) -> None:
        self._links.discard(link)
        for side in (link.client, link.server):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(side.socket)


def _send(side: Side, said: bytes) -> bool:
    try:
        side.socket.sendall(said)
    except OSError:
        return False
    return True


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    end.close()
