"""What one process has open of a database: gate, writer, reader, and their locks. Owns opening and closing.

A forked child gets a hold of its own; see `fork` for why nothing may stay open across a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from millrace.errors import StoreUnavailable
from millrace.stores.sqlite import files, fork, upkeep
from millrace.stores.sqlite.connection import (
    Connection,
    autocheckpoint,
    connect,
    require_library,
)
from millrace.stores.sqlite.gate import Gate
from millrace.stores.sqlite.opening import forked_open, open_gate, open_writer
from millrace.stores.sqlite.settings import Settings
from millrace.stores.sqlite.trouble import explained, locked
from millrace.stores.sqlite.writelock import WriteLock

__all__ = ["Hold"]

_PATIENCE_AT_CLOSE = 5.0  # seconds that the last checkpoint may wait for the gate; SQLite can do without it
_LONG_WAIT = 1.0  # seconds at the gate from which on they are taken off SQLite's own patience


class Hold:
    """One process's hold of the file.

    Attributes:
        settings: What the database was told.
        pid: The process.
        lock: The turn to write; whoever has it may use `way`.
        reading: Whoever holds it may use `reader`.
        way: The writer and the gate before it; None until opened.
        gate: Stays open where the writer is closed for a fork.
        reader: None until first used.
        done: What opening did to the schema.
        closed: Nothing is opened any more.
    """

    __slots__ = (
        "_identity", "_inherited", "_taken", "closed", "cut_short", "done", "gate", "lock", "pid", "reader",
        "reading", "settings", "way", "worker",
    )  # fmt: skip

    def __init__(self, settings: Settings, *, inherited: bool = False) -> None:
        self.pid = os.getpid()
        self.lock = WriteLock()
        self.reading = threading.Lock()
        self.gate: Gate | None = None
        self.way: tuple[Connection, Gate] | None = None
        self.reader: Connection | None = None
        self.done: list[str] = []
        self.closed = False
        self.worker = False
        self.settings = settings
        self._inherited = inherited  # the parent had the file open when this process was forked off
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self.cut_short = False  # the writer's patience is not the full deadline now
        self._taken: list[Callable[[], None]] = []  # what `rest` holds, as the calls that give it back

    # -- waiting

    def wait_for_turn(self, *, urgent: bool = False) -> float:
        """Queue up for the write lock; return until when the rest may wait.

        Raises:
            StoreUnavailable: It was not to be had within the deadline.
        """
        until = time.monotonic() + self.settings.deadline
        if not self.lock.wait(until, urgent=urgent):
            raise locked(self.settings.path, self.settings.deadline, "other threads of this process")
        return until

    def take_turn(self) -> None:
        """Take the write lock, free or not."""
        if not self.lock.free.acquire(blocking=False):
            self.wait_for_turn()

    def take_reading(self) -> None:
        """Take the right to read.

        Raises:
            StoreUnavailable: Another thread has been reading for the whole deadline.
        """
        deadline = self.settings.deadline
        if not self.reading.acquire(timeout=deadline):
            raise StoreUnavailable(
                f"another thread has been reading from {self.settings.path} for {deadline:g} s; try again"
            )

    def wait_for_gate(self, gate: Gate, until: float | None) -> None:
        """Queue up at the gate, until a time of `time.monotonic()`; None is the whole deadline from now.

        Raises:
            StoreUnavailable: Another process did not leave it in time.
        """
        deadline = self.settings.deadline
        if until is None:
            until = time.monotonic() + deadline
        if not gate.wait(until):
            raise locked(self.settings.path, deadline, files.holder(gate.path))
        left = until - time.monotonic()
        if self.way is not None and left < deadline - _LONG_WAIT:
            self.cut_short = True
            self.way[0].rows(f"PRAGMA busy_timeout={max(round(left * 1000), 1)}")

    def restore_patience(self) -> None:
        """Let SQLite wait for foreign writers for the whole deadline again."""
        self.cut_short = False
        if self.way is not None:
            self.way[0].rows(f"PRAGMA busy_timeout={round(self.settings.deadline * 1000)}")

    # -- opening

    def open(self) -> tuple[Connection, Gate]:
        """Open writer and gate, with the turn to write.

        Raises:
            StoreUnavailable, SchemaMismatch, ConfigurationError: See `Database.write`.
        """
        self._refuse()
        settings = self.settings
        require_library(settings.driver)
        files.refuse_places(settings.path, network=settings.network)
        gate = self.gate or open_gate(settings.path)
        try:
            if not gate.try_take():
                self.wait_for_gate(gate, None)
            try:
                writer, done = open_writer(
                    settings.path,
                    driver=settings.driver,
                    synchronous=settings.synchronous,
                    prefix=settings.prefix,
                    deadline=settings.deadline,
                )
            finally:
                gate.leave()
        except BaseException:
            self.gate = None
            gate.close()
            raise
        self.gate = gate
        way = self.way = (writer, gate)
        self.done += done
        self._identity = _identity(settings.path)
        self.pace(worker=self.worker)
        return way

    def pace(self, *, worker: bool) -> None:
        """Say how long the WAL may get before a COMMIT checkpoints, with the turn to write."""
        self.worker = worker
        if self.way is not None:
            pages = autocheckpoint(self.settings.synchronous, worker=worker)
            self.way[0].rows(f"PRAGMA wal_autocheckpoint={pages}")

    def connect_reader(self) -> Connection:
        """Open one more connection that reads.

        Raises:
            StoreUnavailable: It cannot be opened.
        """
        self._refuse()
        settings = self.settings
        try:
            return connect(
                settings.path, settings.driver, synchronous=settings.synchronous, busy=settings.deadline, writes=False
            )
        except BaseException as error:
            trouble = explained(error, settings.path, settings.deadline)
            if trouble is None:
                raise
            raise trouble from error

    def replaced(self) -> bool:
        """Tell whether another file has the name of the one that is open, or none has."""
        return self.way is not None and _identity(self.settings.path) != self._identity

    def _refuse(self) -> None:
        if self.closed:
            raise StoreUnavailable(f"the store of {self.settings.path} is closed; make a new one")
        if self._inherited:
            raise forked_open(self.settings.path)

    # -- closing

    def drop(self, *, cut: bool) -> None:
        """Close writer and reader, with both locks; cut the WAL before, where the gate is held too."""
        replaced = self.replaced()
        reader, self.reader = self.reader, None
        way, self.way = self.way, None
        if replaced:
            # SQLite deletes a WAL by its name when the last connection closes, and that is the other file's now.
            fork.immortalize((reader, way))
            return
        if reader is not None:
            reader.close()
        if way is not None:
            writer, _ = way
            with contextlib.suppress(Exception):  # a full disk, say: what is in the WAL stays there, and safe
                if cut:
                    upkeep.truncate(writer, self.settings.deadline)
            writer.close()

    def close(self) -> None:
        """Close all, for good."""
        self.closed = True
        self.take_turn()
        try:
            self.take_reading()
            try:
                gate = self.gate
                if gate is None:
                    return
                passed = gate.try_take() or gate.wait(time.monotonic() + _PATIENCE_AT_CLOSE)
                self.drop(cut=passed)
                if passed:
                    gate.leave()
                self.gate = None
                gate.close()
            finally:
                self.reading.release()
        finally:
            self.lock.release()

    def __del__(self) -> None:
        """Give back what a database that nobody closed has left; a forked child leaves the parent's alone."""
        with contextlib.suppress(Exception):  # at the end of the interpreter half of it is gone
            if self.pid == os.getpid():
                self.drop(cut=False)
                if self.gate is not None:
                    self.gate.close()

    # -- forks

    def rest(self, until: float) -> bool:
        """Take both locks and close both connections before a fork; tell whether that went in time."""
        if not (self.lock.free.acquire(blocking=False) or self.lock.wait(until, urgent=True)):
            return False
        self._taken.append(self.lock.release)
        if not self.reading.acquire(timeout=max(until - time.monotonic(), 0)):
            return False
        self._taken.append(self.reading.release)
        gate = self.gate
        if gate is None or (self.way is None and self.reader is None):
            return True
        if not (gate.try_take() or gate.wait(until)):
            return False
        try:
            self.drop(cut=False)
        finally:
            gate.leave()
        return True

    def resume(self) -> None:
        """Give back what `rest` took, in the parent."""
        while self._taken:
            self._taken.pop()()

    def disown(self) -> None:
        """Leave what is the parent's, in the child: its gate is not unlocked, its connections are never closed."""
        self.immortalize()
        for connection in (self.way and self.way[0], self.reader):
            if connection is not None:
                connection.abandon()
        if self.gate is not None:
            self.gate.disown()

    def immortalize(self) -> None:
        """Keep the connections for ever, open or not."""
        fork.immortalize((self.way, self.reader))

    @property
    def in_use(self) -> bool:
        """Whether anything of SQLite is, or is about to be, open."""
        return self.way is not None or self.reader is not None or self.lock.free.locked()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
