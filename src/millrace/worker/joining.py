"""A store's way into a handler's own transaction, or the sentence that says why there is none. Writes nothing."""

from __future__ import annotations

from typing import Any

from millrace.errors import NotSupported
from millrace.store import AsyncCallerTransactions, CallerTransactions

__all__ = ["ajoined", "joined"]


def joined(store: Any) -> CallerTransactions:
    """Return a store that can write in the handler's transaction.

    Raises:
        NotSupported: It cannot.
    """
    if isinstance(store, CallerTransactions):
        return store
    raise NotSupported(
        f"{store.url} has no transactions of yours to join; return the result, and make the effects repeatable"
    )


def ajoined(store: Any) -> AsyncCallerTransactions:
    """Return a store that can do so on a connection that is awaited.

    Raises:
        NotSupported: It cannot.
    """
    if isinstance(joined(store), AsyncCallerTransactions):
        return store  # type: ignore[no-any-return]  # it was looked at
    raise NotSupported(f"{store.url} is written on synchronous connections alone; complete the job on such a one")
