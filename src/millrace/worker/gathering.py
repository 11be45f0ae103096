"""What a supervisor knows of its processes: the sum of what they count. Owns that no count is lost or steps back.

Each process is asked when the sum is. What a process had counted when it ended stays in the sum for good; what it said
of its own present does not. Of the whole store, which all would tell the same of, one is asked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Condition, Thread
from time import monotonic

import msgspec

from millrace.metrics.readings import Readings
from millrace.worker.reporting import LINE_VARIABLE, NOTHING, Question, Report
from millrace.worker.telling import LOGGER

__all__ = ["Gathering", "Line"]

_PATIENCE = 1.0  # seconds that a process has to answer; one that is busy is told of as it was last
_SILENT = 35.0  # seconds without a word after which something is wrong: one is due every 10

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Report).decode


class Line:
    """The line to one process."""

    def __init__(self, name: str, told: Callable[[], None]) -> None:
        self.name = name
        self.answered = 0  #: the last question that was
        self.heard_at = monotonic()
        self.complaints: list[str] = ["it has not reported yet"]
        self.readings = Readings()  #: what the process said last of itself
        self.backlog = Readings()  #: and what of the whole store
        self.backlog_of = 0  #: in answer to which question
        self._own, self._others = socket.socketpair()
        self._told = told
        self._thread = Thread(target=self._listen, name=f"millrace-gathering-{name}", daemon=True)
        self._thread.start()

    @property
    def descriptor(self) -> int:
        """Of the process's end, to be passed on."""
        return self._others.fileno()

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells the process of it."""
        return {LINE_VARIABLE: str(self.descriptor)}

    def started(self) -> None:
        """Let go of the process's end: it has it now."""
        self._others.close()

    def ask(self, question: Question) -> None:
        """Ask for a report, which comes later."""
        try:
            self._own.sendall(_encode(question) + b"\n")
        except OSError:
            LOGGER.debug("%s has gone and is not asked", self.name)

    def close(self) -> None:
        """Hear what was said until the end."""
        self._others.close()
        try:
            self._own.shutdown(socket.SHUT_RDWR)  # what was sent before is still read
        except OSError:
            LOGGER.debug("%s has closed its end before", self.name)
        self._thread.join()
        self._own.close()

    def _listen(self) -> None:
        left = bytearray()
        while True:
            try:
                data = self._own.recv(65536)
            except OSError:
                return
            if not data:
                return
            left += data
            *lines, rest = left.split(b"\n")
            left = bytearray(rest)
            for line in lines:
                self._hear(bytes(line))

    def _hear(self, line: bytes) -> None:
        try:
            report = _decode(line)
            readings = Readings.decode(bytes(report.readings))
            backlog = None if report.store == NOTHING else Readings.decode(bytes(report.store))
        except msgspec.MsgspecError:
            LOGGER.exception("%s said something that is not understood", self.name)
            return
        self.readings, self.complaints, self.heard_at = readings, report.complaints, monotonic()
        if backlog is not None:
            self.backlog, self.backlog_of = backlog, report.number
        self.answered = max(self.answered, report.number)
        self._told()


class Gathering:
    """The lines to all processes, and the counts of those that have ended.

    >>> Gathering().complaints()
    []
    """

    def __init__(self) -> None:
        self._ended = Readings()
        self._lines: list[Line] = []
        self._changed = Condition()
        self._asked = 0
        self._teller: Line | None = None
        self._missing: Callable[[], Iterable[str]] = tuple

    def missing(self, names: Callable[[], Iterable[str]]) -> None:
        """Take a function that names the processes which should be there and are not."""
        self._missing = names

    def open(self, name: str) -> Line:
        """Open a line for a process that is about to start."""
        line = Line(name, self._wake)
        with self._changed:
            self._lines.append(line)
        return line

    def close(self, line: Line) -> None:
        """Keep what a process had counted: it has ended."""
        line.close()
        with self._changed:
            self._lines.remove(line)
            self._ended.merge(line.readings.counted())
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def read(self) -> Readings:
        """Return the sum of all, asked now."""
        with self._changed:
            self._asked += 1
            number, lines = self._asked, list(self._lines)
            teller = self._chosen(number)
        for line in lines:
            line.ask(Question(number, store=line is teller))
        with self._changed:
            self._changed.wait_for(lambda: self._answered(lines, number), _PATIENCE)
            read = self._ended.copy()
            for line in self._lines:
                read.merge(line.readings)
                if line.backlog_of >= number:
                    read.merge(line.backlog)
        return read

    def _chosen(self, number: int) -> Line | None:
        """Choose who is asked of the whole store: the same as before, while it answers. The lock is held."""
        before = self._teller
        if before not in self._lines or before.backlog_of < number - 1:
            self._teller = self._lines[number % len(self._lines)] if self._lines else None
        return self._teller

    def _answered(self, lines: Sequence[Line], number: int) -> bool:
        """Tell whether all have answered a question that still can. The lock is held."""
        return all(line.answered >= number for line in lines if line in self._lines)

    def complaints(self) -> list[str]:
        """Say what is wrong with any process, in a sentence each."""
        now = monotonic()
        told = [f"{name} does not run" for name in self._missing()]
        with self._changed:
            lines = list(self._lines)
        for line in lines:
            told += [f"{line.name}: {text}" for text in line.complaints]
            if now - line.heard_at > _SILENT:
                told.append(f"{line.name} has not reported for {now - line.heard_at:.0f} s")
        return told
