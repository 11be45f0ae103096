"""One connection for the length of one call, with the texts of our schema and the time: what the verbs run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from millrace.stores.postgres.texts import Texts

__all__ = ["Session", "Statement", "Wire"]

#: A template and its arguments.
Statement = tuple[str, Mapping[str, Any]]

_NONE: Mapping[str, Any] = {}


class Wire(Protocol):
    """What a session needs of a connection. Ours is in `connection`; a caller's driver may have another."""

    def rows(self, text: str, args: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows, as tuples."""
        ...

    def execute(self, text: str, args: Mapping[str, Any]) -> int:
        """Run a statement and return how many rows it touched."""
        ...

    def trip(self, statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Any]]:
        """Run statements in one trip and one transaction, and return the rows of each."""
        ...

    def transaction(self) -> AbstractContextManager[Any]:
        """Begin a transaction; it commits at the end of the block, or rolls back where that raises."""
        ...


class Session:
    """Runs the constants of the verbs: each statement is a transaction by itself, unless within `transaction()`.

    Attributes:
        now: The time that the caller has given, in microseconds; None is the server's clock.
        again: The same body may have run before, and its commit is unknown: what it finds written may be its own.
        texts: Fills the templates; says what may stand in them.
    """

    __slots__ = ("_wire", "again", "now", "texts")

    def __init__(self, wire: Wire, texts: Texts, now: int | None, *, again: bool = False) -> None:
        self._wire = wire
        self.texts = texts
        self.now = now
        self.again = again

    def rows(self, template: str, args: Mapping[str, Any] = _NONE) -> list[Any]:
        """Run a statement and return its rows, as tuples."""
        return self._wire.rows(*self._filled(template, args))

    def execute(self, template: str, args: Mapping[str, Any] = _NONE) -> int:
        """Run a statement and return how many rows it touched."""
        return self._wire.execute(*self._filled(template, args))

    def trip(self, statements: Sequence[Statement]) -> list[list[Any]]:
        """Run statements in one trip to the server and one transaction, and return the rows of each.

        An error in one is raised, and undoes all. No text with `{light}` may be among them where another one's commit
        matters: it is one commit.
        """
        return self._wire.trip([self._filled(template, args) for template, args in statements])

    def transaction(self) -> AbstractContextManager[Any]:
        """Make one transaction of the statements in a `with` block."""
        return self._wire.transaction()

    def _filled(self, template: str, args: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        text, timed = self.texts.fill(template)
        return text, {**args, "now": self.now} if timed else args
