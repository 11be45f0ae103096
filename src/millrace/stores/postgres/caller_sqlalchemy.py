"""A caller's Connection or Session of SQLAlchemy, or their async twins, by their drivers for PostgreSQL.

Statements go through SQLAlchemy, which knows whether its transaction has begun, and shows them where `echo` is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millrace.errors import ConfigurationError, NotSupported
from millrace.stores.beneath import of_sqlalchemy
from millrace.stores.postgres.caller_texts import named, numbered, plain_rows

__all__ = ["SqlalchemyGuest"]

#: How each driver wants a statement and its arguments.
_FORMS: Mapping[str, Callable[[str, Mapping[str, Any]], tuple[str, Any]]] = {
    "psycopg": named,
    "psycopg_async": named,
    "psycopg2": named,
    "asyncpg": numbered,
}


class SqlalchemyGuest:
    """A Connection or a Session in a transaction, begun here where there was none; see `caller.Guest`.

    Raises:
        NotSupported: It is neither, or to another kind of database, or of a driver that we do not know.
        ConfigurationError: It is closed, or commits each statement by itself.
    """

    def __init__(self, given: Any) -> None:
        connection = of_sqlalchemy(given)
        dialect = connection.dialect
        form = _FORMS.get(dialect.driver) if dialect.name == "postgresql" else None
        if form is None:
            raise NotSupported(
                f"{type(given).__qualname__} is on {dialect.name}+{dialect.driver}, which this store cannot join; use "
                "postgresql+psycopg, +asyncpg or +psycopg2"
            )
        if connection.connection.dbapi_connection.autocommit:
            raise ConfigurationError(
                f"{type(given).__qualname__} has the isolation level AUTOCOMMIT, so each statement is committed by "
                "itself; give one without it"
            )
        self._connection, self._form = connection, form
        self.beneath = connection.connection.driver_connection

    def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows."""
        text, values = self._form(text, args)
        return plain_rows(self._connection.exec_driver_sql(text, values).fetchall())
