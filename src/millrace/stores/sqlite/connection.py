"""The driver seam: one connection to the file, whichever driver is behind it. Owns pragmas; no locks, no policy.

Rows are always read to their end: a statement left open keeps a COMMIT from working and the WAL from being reset.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Connection", "StandardConnection"]


class Connection(Protocol):
    """What the verbs need of a driver. One thread at a time; the `Database` sees to that."""

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return all its rows as tuples."""
        ...

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement without rows; return how many rows it changed (-1 where it begins with WITH)."""
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


class StandardConnection:
    """A connection of the standard library's `sqlite3`."""

    __slots__ = ("_connection", "_execute")

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        self._execute = self._connection.cursor().execute

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return all its rows as tuples."""
        return self._execute(sql, args).fetchall()

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement without rows; return how many rows it changed."""
        return self._execute(sql, args).rowcount

    def script(self, sql: str) -> None:
        """Run statements one after the other."""
        self._connection.executescript(sql)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
