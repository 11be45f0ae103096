"""The schema as a script: the capability of a store to tell the SQL that makes its tables. No I/O."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["SchemaScript"]


@runtime_checkable
class SchemaScript(Protocol):
    """Capability: tell the statements of `Store.migrate`, for someone who runs them by hand.

    >>> from millrace.stores import MemoryStore
    >>> isinstance(MemoryStore(), SchemaScript)
    False
    """

    def script(self, *, since: int = 0) -> list[str]:
        """Return the numbered migrations after version `since`, without looking into the store or changing it.

        Each version begins with a comment that names it, and is a transaction that also notes that it was done; each
        statement ends with a semicolon. Version 0 is a store without our tables.
        """
        ...
