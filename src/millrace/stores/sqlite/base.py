"""An SQLite file as a store: opening, closing, health, and the sessions that every verb runs in. Owns no verb."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from millrace.clock import Clock
from millrace.messages import Finding
from millrace.store import Subscription
from millrace.stores.sqlite.caller import check_schema, on_connection, require_connection
from millrace.stores.sqlite.connection import Driver, StandardConnection
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.migrations import to_sql
from millrace.stores.sqlite.session import Session
from millrace.stores.sqlite.settings import Network, Synchronous
from millrace.stores.sqlite.sql import Texts

__all__ = ["FileStore"]

T = TypeVar("T")


class FileStore:
    """What the parts of `SQLiteStore` share."""

    parallel_steps = 1  # writers are serial

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "full",
        prefix: str = "millrace_",
        deadline: float = 30.0,
        reserve: bool = True,
        network: Network = "refuse",
        driver: Driver = "sqlite3",
        clock: Clock | None = None,
    ) -> None:
        self._database = Database(
            os.fspath(path),
            synchronous=synchronous,
            prefix=prefix,
            deadline=deadline,
            reserve=reserve,
            network=network,
            driver=driver,
            clock=clock,
        )
        self.url = self._database.url
        self._texts = Texts(prefix)
        self._workers = set[int]()  # the registered workers of this process

    def __repr__(self) -> str:
        return f"SQLiteStore({self.url!r})"

    def now(self) -> int:
        """Return the store's time in microseconds; never steps back within a process."""
        return self._database.now()

    def migrate(self) -> list[str]:
        """Create or upgrade the schema; return what was done."""
        return self._database.migrate()

    def script(self, *, since: int = 0) -> list[str]:
        """Return the migrations after a version as statements, without opening the file."""
        return to_sql(self._texts.plain("{p}"), since)

    def close(self) -> None:
        """Release every connection, thread and file."""
        self._database.close()

    # -- hints and health

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back, from any thread, soon after jobs may have become claimable or changed."""
        return self._database.watch(on_change)

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell."""
        return self._database.check()

    # -- within the store

    def _nothing_to_do(self) -> int:
        """Return the time; a store that is closed says so even where there is nothing to do."""
        self._database.open()
        return self._database.now()

    def _write(
        self, body: Callable[[Session], T], *, now: int | None = None, urgent: bool = False, spare: bool = False
    ) -> T:
        texts = self._texts
        return self._database.write(
            lambda connection, at: body(Session(connection, texts, at)), now=now, urgent=urgent, spare=spare
        )

    def _read(self, body: Callable[[Session], T], *, now: int | None = None) -> T:
        at = self._database.now() if now is None else now
        return self._database.read(lambda connection: body(Session(connection, self._texts, at)))

    def _on(self, connection: object, body: Callable[[Session], T]) -> T:
        database = self._database
        path = database.path
        given = require_connection(connection, path)
        within = given.in_transaction
        if not within:
            database.open()  # where the tables are to be made, it is on our own connection

        def checked() -> T:
            session = Session(StandardConnection(given), self._texts, database.now())
            if within:
                check_schema(session, path)
            return body(session)

        return on_connection(given, path, checked)
