"""A caller's connection of asyncpg, or what its pool lends in place of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.connections import kinds_of
from millrace.errors import ConfigurationError, NotSupported
from millrace.stores.postgres.caller_texts import numbered, plain_rows

__all__ = ["AsyncpgGuest"]


class AsyncpgGuest:
    """An `asyncpg.Connection` in a transaction; see `caller.AsyncGuest`.

    Raises:
        NotSupported: It is none; a pool, for one.
        ConfigurationError: It is closed, or no transaction is open: asyncpg then commits each statement by itself.
    """

    def __init__(self, connection: Any) -> None:
        if kinds_of(connection).isdisjoint({"Connection", "PoolConnectionProxy"}):
            raise NotSupported(
                f"{type(connection).__qualname__} of asyncpg is no connection; give one, such as `async with "
                "pool.acquire() as connection:` gives"
            )
        # a pool lends the same connection in a new wrapper each time, which is empty once it was given back
        beneath = getattr(connection, "_con", connection)
        if beneath is None or connection.is_closed():
            raise ConfigurationError("the connection of asyncpg is closed; give one that is open")
        if not connection.is_in_transaction():
            raise ConfigurationError(
                "the connection of asyncpg commits each statement by itself and no transaction is open; do it within "
                "`async with connection.transaction():`"
            )
        self._connection = connection
        self.beneath: Any = beneath

    async def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows."""
        text, values = numbered(text, args)
        return plain_rows(await self._connection.fetch(text, *values))
