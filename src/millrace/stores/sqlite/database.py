"""One SQLite file as the verbs see it: `write` a transaction, `read`, be told of changes, close."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Literal, TypeVar

from millrace.clock import Clock, SystemClock
from millrace.store import Subscription
from millrace.stores.sqlite.connection import Connection, StandardConnection
from millrace.stores.sqlite.schema import MIN_READER, TABLES, VERSION

__all__ = ["Database"]

T = TypeVar("T")


class _Watch:
    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


class Database:
    """One SQLite file."""

    def __init__(
        self,
        path: str,
        *,
        synchronous: Literal["full", "normal"] = "full",
        prefix: str = "millrace_",
        deadline: float = 30.0,
        reserve: bool = True,
        network: Literal["refuse", "allow"] = "refuse",
        clock: Clock | None = None,
    ) -> None:
        self.path = os.path.abspath(path)
        self.prefix = prefix
        self.url = f"sqlite:///{path}"
        self._synchronous = synchronous
        self._deadline = deadline
        self._reserve, self._network = reserve, network
        self._clock = clock or SystemClock()
        self._last = 0
        self._turn = threading.Lock()
        self._reading = threading.Lock()
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._watchers: list[Callable[[], None]] = []

    def now(self) -> int:
        """Return the time in microseconds; never steps back within the process."""
        at = self._clock.now()
        if at > self._last:
            self._last = at
            return at
        return self._last

    def write(self, body: Callable[[Connection, int], T], *, now: int | None = None, urgent: bool = False) -> T:
        """Run `body(connection, now)` in one write transaction and return what it returns."""
        with self._turn:
            writer = self._writer or self._open()
            writer.execute("BEGIN IMMEDIATE")
            try:
                answer = body(writer, self.now() if now is None else now)
                writer.execute("COMMIT")
            except BaseException:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise
            return answer

    def read(self, body: Callable[[Connection], T]) -> T:
        """Run `body(connection)` on the reader, without the gate."""
        if self._writer is None:
            with self._turn:
                self._writer or self._open()
        with self._reading:
            if self._reader is None:
                self._reader = self._connect()
            return body(self._reader)

    def changed(self) -> None:
        """Tell the watchers of this process that there may be work."""
        for on_change in tuple(self._watchers):
            on_change()

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back soon after jobs may have become claimable or changed."""
        self._watchers.append(on_change)
        return _Watch(lambda: self._watchers.remove(on_change))

    def close(self) -> None:
        """Release every connection, thread and file."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _connect(self) -> Connection:
        connection = StandardConnection(self.path)
        connection.rows("PRAGMA auto_vacuum=INCREMENTAL")
        connection.rows("PRAGMA journal_mode=WAL")
        connection.rows(f"PRAGMA synchronous={self._synchronous}")
        connection.rows("PRAGMA busy_timeout=30000")
        return connection

    def _open(self) -> Connection:
        writer = self._connect()
        writer.execute("BEGIN IMMEDIATE")
        if not writer.rows("SELECT 1 FROM sqlite_schema WHERE name=?", (self.prefix + "meta",)):
            for statement in TABLES:
                writer.execute(statement.replace("{p}", self.prefix))
            for key, value in (("schema", VERSION), ("min_reader", MIN_READER), ("created", self.now()), ("epoch", 1)):
                writer.execute(f"INSERT INTO {self.prefix}meta VALUES(?,?)", (key, str(value)))
        writer.execute("COMMIT")
        self._writer = writer
        return writer
