"""A caller's connection of Django's, such as `django.db.connection`, within `transaction.atomic()`.

Statements go through Django's cursor, so that its log and its tests count them, and its errors are Django's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.errors import NotSupported
from millrace.stores.beneath import of_django
from millrace.stores.postgres.caller_texts import named, plain_rows

__all__ = ["DjangoGuest"]


class DjangoGuest:
    """A connection of Django's in a transaction; see `caller.Guest`.

    Raises:
        NotSupported: It is none, or to another kind of database.
        ConfigurationError: Each of its statements is committed by itself.
    """

    def __init__(self, given: Any) -> None:
        connection = of_django(given)
        if connection.vendor != "postgresql":
            raise NotSupported(
                f"Django's connection {connection.alias!r} is to {connection.vendor}, and the store is on PostgreSQL; "
                "jobs and data must be in one database to be committed together"
            )
        self._connection = connection
        self.beneath = connection.connection

    def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows."""
        text, values = named(text, args)
        with self._connection.cursor() as cursor:
            cursor.execute(text, values)
            return plain_rows(cursor.fetchall())
