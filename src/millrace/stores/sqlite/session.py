"""One connection within one transaction or read, with the texts of our prefix and the time: what the verbs run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.sql import MAX_LIST, Texts, chunks, padded, padded_rows

__all__ = ["Session"]


class Session:
    """Runs the constants of the verbs.

    The methods with `list` fill `{ids}`, those with `values` fill `{rows}`. Either is cut into several statements
    past 1,024 items, and none runs for no items.
    """

    __slots__ = ("_execute", "_rows", "connection", "now", "texts")

    def __init__(self, connection: Connection, texts: Texts, now: int) -> None:
        self.connection = connection
        self._rows = connection.rows
        self._execute = connection.execute
        self.texts = texts
        self.now = now

    def rows(self, template: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return its rows."""
        return self._rows(self.texts.plain(template), args)

    def execute(self, template: str, args: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        return self._execute(self.texts.plain(template), args)

    def list_rows(
        self, template: str, items: Sequence[Any], *, before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> list[Any]:
        """Run a statement on a list, with other arguments before and after it, and return its rows."""
        if len(items) > MAX_LIST:
            return [row for part in chunks(items) for row in self.list_rows(template, part, before=before, after=after)]
        if not items:
            return []
        marks = padded(items)
        return self._rows(self.texts.sized(template, len(marks)), (*before, *marks, *after))

    def list_execute(
        self, template: str, items: Sequence[Any], *, before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> int:
        """Run a statement on a list and return how many rows it changed."""
        if len(items) > MAX_LIST:
            return sum(self.list_execute(template, part, before=before, after=after) for part in chunks(items))
        if not items:
            return 0
        marks = padded(items)
        return self._execute(self.texts.sized(template, len(marks)), (*before, *marks, *after))

    def values_rows(
        self, template: str, items: Sequence[Sequence[Any]], *, before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> list[Any]:
        """Run a statement on a list of rows and return its rows."""
        if len(items) > MAX_LIST:
            return [
                row for part in chunks(items) for row in self.values_rows(template, part, before=before, after=after)
            ]
        if not items:
            return []
        size, flat = padded_rows(items)
        return self._rows(self.texts.sized(template, size, len(items[0])), (*before, *flat, *after))

    def values_execute(
        self, template: str, items: Sequence[Sequence[Any]], *, before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> int:
        """Run a statement on a list of rows and return how many rows it changed."""
        if len(items) > MAX_LIST:
            return sum(self.values_execute(template, part, before=before, after=after) for part in chunks(items))
        if not items:
            return 0
        size, flat = padded_rows(items)
        return self._execute(self.texts.sized(template, size, len(items[0])), (*before, *flat, *after))

    def insert(self, template: str, size: int, columns: int, flat: Sequence[Any]) -> int:
        """Run an INSERT of exactly `size` rows, laid end to end; return how many went in."""
        return self._execute(self.texts.sized(template, size, columns), flat)
