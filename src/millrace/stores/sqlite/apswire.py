"""The same seam over `apsw`, which brings an SQLite of its own: for hosts whose SQLite is old. Owns nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.errors import ConfigurationError
from millrace.stores.sqlite.connection import Abandoned

__all__ = ["ApswConnection", "version"]


class ApswConnection:
    """A connection of `apsw`, to the file of a URI."""

    __slots__ = ("_connection", "_execute", "_kept")

    def __init__(self, name: str) -> None:
        apsw = _apsw()
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        self._connection: Any = apsw.Connection(name, flags=flags, statementcachesize=256)
        self._execute: Any = self._connection.cursor().execute

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return all its rows as tuples."""
        found: list[Any] = self._execute(sql, args).fetchall()
        return found

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement without rows; return how many rows it changed."""
        self._execute(sql, args)
        changed: int = self._connection.changes()
        return changed

    def script(self, sql: str) -> None:
        """Run statements one after the other, each to its end."""
        self._execute(sql).fetchall()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abandon(self) -> None:
        """Do nothing with it any more, not even close it."""
        self._kept = (self._connection, self._execute)
        self._connection = Abandoned()
        self._execute = self._connection.execute


def version() -> tuple[int, ...]:
    """Return the version of the SQLite within."""
    return tuple(int(number) for number in _apsw().sqlite_lib_version().split("."))


def _apsw() -> Any:
    try:
        import apsw
    except ImportError:
        raise ConfigurationError(
            "driver 'apsw' is not installed; install millrace[apsw], or leave ?driver=apsw out of the URL"
        ) from None
    return apsw
