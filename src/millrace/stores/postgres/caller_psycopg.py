"""A caller's connection of psycopg, sync or async: the same checks and the same cursor for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString, TypeVar, cast

import psycopg
from psycopg import pq
from psycopg.rows import tuple_row

from millrace.errors import ConfigurationError, NotSupported
from millrace.stores.postgres.arrays import register

__all__ = ["AsyncPsycopgGuest", "PsycopgGuest"]

C = TypeVar("C", psycopg.Connection[Any], psycopg.AsyncConnection[Any])


class PsycopgGuest:
    """A `psycopg.Connection` in a transaction; see `caller.Guest`."""

    def __init__(self, connection: Any) -> None:
        self.beneath: psycopg.Connection[Any] = _checked(connection, psycopg.Connection)

    def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows."""
        cursor = psycopg.Cursor(self.beneath, row_factory=tuple_row)
        register(cursor.adapters)
        return cursor.execute(cast("LiteralString", text), args, binary=True).fetchall()


class AsyncPsycopgGuest:
    """A `psycopg.AsyncConnection` in a transaction; see `caller.AsyncGuest`."""

    def __init__(self, connection: Any) -> None:
        self.beneath: psycopg.AsyncConnection[Any] = _checked(connection, psycopg.AsyncConnection)

    async def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows."""
        cursor = psycopg.AsyncCursor(self.beneath, row_factory=tuple_row)
        register(cursor.adapters)
        return await (await cursor.execute(cast("LiteralString", text), args, binary=True)).fetchall()


def _checked(connection: Any, kind: type[C]) -> C:
    """Refuse what is no connection, closed, or outside a transaction where none would be begun.

    Raises:
        NotSupported: It is none; a cursor, for one.
        ConfigurationError: It is closed, or commits each statement by itself.
    """
    if not isinstance(connection, kind):
        hint = "its connection, cursor.connection" if hasattr(connection, "fetchone") else f"a psycopg.{kind.__name__}"
        raise NotSupported(f"{type(connection).__qualname__} of psycopg is no connection; give {hint}")
    if connection.closed:
        raise ConfigurationError("the connection of psycopg is closed; give one that is open")
    if connection.autocommit and connection.info.transaction_status is pq.TransactionStatus.IDLE:
        raise ConfigurationError(
            "the connection of psycopg is in autocommit, so each statement is committed by itself, and no transaction"
            " is open; do it within `with connection.transaction():`"
        )
    return connection
