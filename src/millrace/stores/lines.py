"""The few connections of one store: which there are, and who has which when.

A producer has one, for everything. A worker adds a second for steps and writes, one for beats, so that a slow claim
delays no lease, and one for reads. The listener has its own; see `listener`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from millrace.errors import StoreUnavailable
from millrace.stores.free import Free
from millrace.stores.line import Body, Connection, Line
from millrace.stores.watchdog import Watchdog

__all__ = ["Limits", "Lines"]

C = TypeVar("C", bound=Connection)
T = TypeVar("T")

_WRITERS = 2  # while a worker is at work: more gain nothing


class Limits(Protocol):
    """What lines know of a store's settings."""

    @property
    def url(self) -> str:
        """As people see it."""
        ...

    @property
    def deadline(self) -> float:
        """Seconds for a write."""
        ...

    @property
    def read_deadline(self) -> float:
        """Seconds for a read."""
        ...


class Lines(Generic[C]):
    """The connections of one store within one process. Nothing is opened before the first use.

    Args:
        limits: The store's settings.
        make: Makes a line of a name and a deadline; it is handed us.
    """

    def __init__(self, limits: Limits, make: Callable[[Lines[C], str, float], Line[C]]) -> None:
        self.pid = os.getpid()
        self.watchdog = Watchdog()
        self._limits, self._make = limits, make
        self._free = Free[Line[C]]()  # lines that write and are not in use
        self._all: list[Line[C]] = []
        self._beats: Line[C] | None = None
        self._reader: Line[C] | None = None
        self._beating, self._reading = threading.Lock(), threading.Lock()
        self._changing = threading.Lock()
        #: Set once the server has been reached, and when calls that wait for it shall give up.
        self.reached, self.closing = threading.Event(), threading.Event()
        self._workers = 0
        self.closed = False
        self._add_writer()

    # -- calls

    def write(
        self, body: Body[C, T], *, within: float | None = None, repeatable: bool = False, patient: bool = True
    ) -> T:
        """Run `body(connection, again)` on a connection that writes; see `Line.run`."""
        seconds = self._limits.deadline if within is None else within
        line = self._take(seconds)
        try:
            return line.run(body, within=within, repeatable=repeatable, patient=patient)
        finally:
            self._free.put(line)

    def read(self, body: Body[C, T]) -> T:
        """Run a body that only reads, and may therefore be repeated."""
        self.check()
        reader = self._reader
        if reader is None:
            return self.write(body, within=self._limits.read_deadline, repeatable=True)
        with self._reading:
            return reader.run(body, within=self._limits.read_deadline, repeatable=True, patient=True)

    def beat(self, body: Body[C, T], *, within: float) -> T:
        """Run a body that may not wait for any other, `within` seconds, and may be repeated."""
        self.check()
        beats = self._beats
        if beats is None:
            return self.write(body, within=within, repeatable=True, patient=False)
        with self._beating:
            return beats.run(body, within=within, repeatable=True, patient=False)

    # -- workers

    def begin_work(self) -> None:
        """A worker starts in this process: the first one brings its connections with it."""
        with self._changing:
            self._workers += 1
            if self._workers > 1:
                return
            if len(self._all) < _WRITERS:
                self._add_writer()
            self._beats = self._make(self, "millrace beats", self._limits.deadline)
            self._reader = self._make(self, "millrace reads", self._limits.read_deadline)

    def end_work(self) -> None:
        """A worker of this process has stopped; the last one takes its connections along."""
        with self._changing:
            self._workers -= 1
            if self._workers:
                return
            beats, self._beats = self._beats, None
            reader, self._reader = self._reader, None
            with contextlib.suppress(StoreUnavailable):  # all are in use, or closed: then it stays
                spare = self._take(self._limits.deadline)
                self._all.remove(spare)
                spare.drop()
        for line, lock in ((beats, self._beating), (reader, self._reading)):
            if line is not None:
                with lock:
                    line.drop()

    # -- their end

    def close(self) -> None:
        """Close all connections, once the calls under way have ended, as their deadlines see to.

        A second call does nothing.
        """
        with self._changing:
            if self.closed:
                return
            self.closed = True
            self.closing.set()
            lines = [line for _ in self._all if (line := self._free.take()) is not None]
            for each in lines:
                each.drop()
                self._free.put(each)  # for those who wait for one, to learn that it is over
            for line, lock in ((self._beats, self._beating), (self._reader, self._reading)):
                if line is not None:
                    with lock:
                        line.drop()
        self.watchdog.stop()

    def drop(self) -> None:
        """Close the connections that are not in use; calls open new ones."""
        lines: list[Line[C]] = []
        while (free := self._free.take(0.0)) is not None:
            lines.append(free)
        for line in lines:
            line.drop()
            self._free.put(line)

    @property
    def opened(self) -> bool:
        """Whether there is a connection that writes."""
        return any(line.connection is not None for line in self._all)

    @property
    def working(self) -> bool:
        """Whether a worker is at work in this process."""
        return self._workers > 0

    def every(self) -> list[Line[C]]:
        """Return all there are."""
        return [line for line in (*self._all, self._beats, self._reader) if line is not None]

    def check(self) -> None:
        """See that it is open.

        Raises:
            StoreUnavailable: It was closed.
        """
        if self.closed:
            raise StoreUnavailable(f"the store of {self._limits.url} is closed; open it anew")

    def _add_writer(self) -> None:
        line = self._make(self, "millrace", self._limits.deadline)
        self._all.append(line)
        self._free.put(line)

    def _take(self, seconds: float) -> Line[C]:
        self.check()
        line = self._free.take(seconds)
        if line is None:
            raise StoreUnavailable(
                f"the connections to {self._limits.url} were all in use for {seconds:.1f} s; nothing was written"
            )
        if self.closed:
            self._free.put(line)
            self.check()
        return line
