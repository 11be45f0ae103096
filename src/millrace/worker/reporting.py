"""What worker processes under one parent tell it of themselves: readings and complaints, a line of JSON each.

The parent asks when it is asked itself, and a process also tells every second by itself, so that one which is killed
takes at most a second's counts along. `Reporter` is the process's side; the parent's is `gathering`.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from threading import Lock, Thread

import msgspec

from millrace.metrics.readings import Readings
from millrace.worker.telling import LOGGER
from millrace.worker.uptime import uptime

__all__ = ["LINE_VARIABLE", "NOTHING", "Question", "Report", "Reporter", "line_of_parent"]

LINE_VARIABLE = "MILLRACE_METRICS_LINE"  #: names the descriptor over which a process tells its parent

_EVERY = 1.0  # seconds between two reports that nobody has asked for
_SILENCE = 10.0  # seconds after which a process says the same again, to show that it lives


NOTHING = msgspec.Raw(b"null")


class Question(msgspec.Struct, frozen=True, array_like=True):
    """Asks for a report; with `store` also for what waits in the whole store, which one of all has to read."""

    number: int
    store: bool = False


class Report(msgspec.Struct, frozen=True, array_like=True):
    """Tells how things stand; `number` is that of the question, 0 where none was asked. Readings are JSON."""

    number: int
    readings: msgspec.Raw
    complaints: list[str]
    store: msgspec.Raw = NOTHING


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Question).decode


class Reporter:
    """Tells a parent how one worker process does, until it is closed or the parent has gone.

    Args:
        descriptor: Of the socket to the parent; it is the reporter's from now on.
        own: Returns the readings of this process.
        backlog: Returns those of the whole store.
        complaints: Returns what is wrong, in a sentence each.
    """

    def __init__(
        self,
        descriptor: int,
        own: Callable[[], Readings],
        backlog: Callable[[], Readings],
        complaints: Callable[[], Sequence[str]],
    ) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._own = own
        self._backlog = backlog
        self._complaints = complaints
        self._sending = Lock()
        self._last = b""
        self._silent_until = 0.0
        self._thread = Thread(target=self._run, name="millrace-reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell for the last time, and end."""
        self._tell(0)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            LOGGER.debug("the parent has gone before")
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        left = b""
        while True:
            if not poll.poll(_EVERY * 1000):
                self._tell(0)
                continue
            try:
                data = self._socket.recv(4096)
            except OSError:
                return
            if not data:
                return
            *lines, left = (left + data).split(b"\n")
            for line in lines:
                question = _decode(line)
                self._tell(question.number, store=question.store)

    def _tell(self, number: int, *, store: bool = False) -> None:
        """Send a report; one that nobody has asked for only where it says something new."""
        try:
            backlog = msgspec.Raw(self._backlog().encode()) if store else NOTHING
            readings = msgspec.Raw(self._own().encode())
            complaints = list(self._complaints())
        except Exception:  # noqa: BLE001 - a fault here must not end the thread: the next report may go
            LOGGER.exception("this process could not be measured")
            return
        said = bytes(readings) + _encode(complaints)
        with self._sending:
            if not number and said == self._last and uptime() < self._silent_until:
                return
            self._last, self._silent_until = said, uptime() + _SILENCE
            try:
                self._socket.sendall(_encode(Report(number, readings, complaints, backlog)) + b"\n")
            except OSError:
                LOGGER.debug("the parent has gone, and hears no more")


def line_of_parent() -> int | None:
    """Return the descriptor on which a parent wants to hear of this process; None where none does.

    >>> line_of_parent() is None
    True
    """
    given = os.environ.pop(LINE_VARIABLE, "")  # not for what this process starts in its turn
    return int(given) if given.isdecimal() else None
