"""The driver seam: one connection to the file, whichever driver is behind it. Owns pragmas; no locks, no policy.

Rows are always read to their end: a statement left open keeps a COMMIT from working and the WAL from being reset.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import quote

from millrace.errors import ConfigurationError, StoreUnavailable

__all__ = [
    "AUTOCHECKPOINT_CLIENT",
    "AUTOCHECKPOINT_FLUSHED_CLIENT",
    "AUTOCHECKPOINT_WORKER",
    "Abandoned",
    "Connection",
    "Driver",
    "StandardConnection",
    "autocheckpoint",
    "connect",
    "error_code",
    "library_version",
    "require_library",
]

Driver = Literal["sqlite3", "apsw"]

OLDEST = (3, 37, 0)  # STRICT tables; RETURNING and UPDATE FROM are older
SERIALIZED = 3  # `sqlite3.threadsafety` where connections may move between threads

AUTOCHECKPOINT_WORKER = 8000  #: pages of WAL after which a COMMIT also checkpoints: worst 24 ms on a slow disk
AUTOCHECKPOINT_CLIENT = 32000  #: the same in a client at NORMAL, so that a web request seldom pays
#: The same in a client at FULL. A flush of a WAL that grows also writes the file's new length, one that is used again
#: does not: single enqueues are up to 1.6 times as fast, for a pause of some milliseconds every few hundred of them.
AUTOCHECKPOINT_FLUSHED_CLIENT = 2000

#: Bytes, of a file that we make. A commit writes whole pages to the WAL, so half of SQLite's own 4096 makes a single
#: insert a tenth faster, a claim or step of 100 by more.
PAGE_SIZE = 2048
WRITER_CACHE = 16384  #: KiB
READER_CACHE = 4096  #: KiB
WAL_LIMIT = 64 << 20  #: bytes that the WAL is cut down to after a checkpoint


class Connection(Protocol):
    """What the verbs need of a driver. One thread at a time; the `Database` sees to that."""

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return all its rows as tuples."""
        ...

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement without rows; return how many rows an INSERT, UPDATE or DELETE changed.

        Never for a statement with RETURNING, nor one that begins with WITH: drivers count those differently.
        """
        ...

    def script(self, sql: str) -> None:
        """Run statements one after the other, each to its end; a transaction must not be open."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def abandon(self) -> None:
        """Do nothing with it any more, not even close it: in a forked child it is the parent's.

        The object must be kept for ever, see `fork.immortalize`, or its end would close it.
        """
        ...


class Abandoned:
    """What stands in the place of a driver's connection that must not be touched any more."""

    in_transaction = False

    def execute(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """Refuse."""
        raise StoreUnavailable(
            f"this connection is the parent process's; {sql[:40]!r} with {len(args)} values was not run"
        )

    def changes(self) -> int:
        """Tell that nothing was changed."""
        return 0

    def executescript(self, sql: str) -> None:
        """Refuse."""
        self.execute(sql)

    def close(self) -> None:
        """Leave it open."""


class StandardConnection:
    """A connection of the standard library's `sqlite3`, ours or a caller's.

    >>> StandardConnection(sqlite3.connect(":memory:")).rows("SELECT 1, 'a'")
    [(1, 'a')]
    """

    __slots__ = ("_connection", "_execute", "_kept")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | Abandoned = connection
        cursor = connection.cursor()
        cursor.row_factory = None  # a caller's connection may have one; rows are tuples here
        self._execute: Callable[..., Any] = cursor.execute  # one cursor for all: a new one each time costs 0.2 us

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return all its rows as tuples."""
        found: list[Any] = self._execute(sql, args).fetchall()
        return found

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement without rows; return how many rows it changed."""
        changed: int = self._execute(sql, args).rowcount
        return changed

    def script(self, sql: str) -> None:
        """Run statements one after the other, each to its end."""
        self._connection.executescript(sql)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abandon(self) -> None:
        """Do nothing with it any more, not even close it."""
        self._kept = (self._connection, self._execute)
        self._connection = Abandoned()
        self._execute = self._connection.execute


def library_version(driver: Driver) -> tuple[int, ...]:
    """Return the version of the SQLite that a driver brings.

    >>> library_version("sqlite3") >= (3, 37, 0)
    True
    """
    if driver == "apsw":
        from millrace.stores.sqlite.apswire import version

        return version()
    return sqlite3.sqlite_version_info


def require_library(driver: Driver) -> None:
    """Refuse an SQLite that cannot do what is needed.

    Raises:
        ConfigurationError: It is older than 3.37, or built without the locks that threads need.
    """
    version = library_version(driver)
    if version < OLDEST:
        found, needed = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
        raise ConfigurationError(
            f"SQLite {found} is too old, {needed} or newer is needed; install millrace[apsw], which brings its own, "
            "and add ?driver=apsw to the URL"
        )
    if driver == "sqlite3" and sqlite3.threadsafety != SERIALIZED:
        raise ConfigurationError(
            f"this Python's SQLite is not built for threads (threadsafety {sqlite3.threadsafety}, not {SERIALIZED}); "
            "install millrace[apsw] and add ?driver=apsw to the URL"
        )


def connect(path: str, driver: Driver, *, synchronous: str, busy: float, writes: bool) -> Connection:
    """Open a connection with every pragma set, and those that live in the file read back.

    Args:
        path: The file; it exists.
        driver: Which library opens it.
        synchronous: "full" or "normal".
        busy: Seconds to wait for a foreign writer.
        writes: False for a connection that only reads.

    Raises:
        StoreUnavailable: The file does not go over to WAL.
    """
    connection = _opened(path, driver)
    try:
        _set(connection, f"busy_timeout={round(busy * 1000)}")
        if writes and connection.rows("PRAGMA page_count") == [(0,)]:
            _set(connection, f"page_size={PAGE_SIZE}")
            _set(connection, "auto_vacuum=INCREMENTAL")  # only heeded before the first table, and a write each time
        mode = connection.rows("PRAGMA journal_mode=WAL")[0][0]
        _require_wal(path, mode)
        _set(connection, f"synchronous={synchronous}")
        _set(connection, f"cache_size=-{WRITER_CACHE if writes else READER_CACHE}")
        _set(connection, "temp_store=MEMORY")
        _set(connection, "mmap_size=0")
        _set(connection, "foreign_keys=OFF")
        _set(connection, "secure_delete=OFF")  # some builds turn it on: 3 %
        _set(connection, f"journal_size_limit={WAL_LIMIT}")
        # A reader never commits, so it never checkpoints either; said aloud, because a checkpoint needs the gate.
        _set(connection, f"wal_autocheckpoint={autocheckpoint(synchronous, worker=False) if writes else 0}")
        if not writes:
            _set(connection, "query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def autocheckpoint(synchronous: str, *, worker: bool) -> int:
    """Return after how many pages of WAL a COMMIT also checkpoints.

    >>> autocheckpoint("full", worker=False)
    2000
    """
    if worker:
        return AUTOCHECKPOINT_WORKER
    return AUTOCHECKPOINT_FLUSHED_CLIENT if synchronous == "full" else AUTOCHECKPOINT_CLIENT


def error_code(error: BaseException) -> int | None:
    """Return SQLite's extended result code of a driver's error, None where it is none of those."""
    code = getattr(error, "sqlite_errorcode", None)  # sqlite3
    if code is None:
        code = getattr(error, "extendedresult", None)  # apsw
    return code if isinstance(code, int) else None


def _opened(path: str, driver: Driver) -> Connection:
    # `mode=rw`: never a file that SQLite makes, its mode would be 0644.
    name = f"file:{quote(os.fsencode(path))}?mode=rw"
    if driver == "apsw":
        from millrace.stores.sqlite.apswire import ApswConnection

        return ApswConnection(name)
    return StandardConnection(
        sqlite3.connect(
            name,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    )


def _require_wal(path: str, mode: str) -> None:
    if mode != "wal":
        raise StoreUnavailable(
            f"{path} cannot use a write-ahead log, its journal mode stays {mode!r}; put it on a local disk that "
            "allows shared memory"
        )


def _set(connection: Connection, pragma: str) -> None:
    connection.rows(f"PRAGMA {pragma}")
