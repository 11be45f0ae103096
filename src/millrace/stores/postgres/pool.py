"""A pool of connections as a caller may bring one along. Owns what is needed of it; knows no library."""

from __future__ import annotations

from typing import Any, Protocol

import psycopg

__all__ = ["Pool"]


class Pool(Protocol):
    """What is needed of a pool: `psycopg_pool.ConnectionPool` has it, and so has its `NullConnectionPool`."""

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        """Take a connection, and wait so many seconds for one at most."""
        ...

    def putconn(self, conn: Any) -> None:
        """Give it back; pools of a special kind of connection take only that."""
        ...
