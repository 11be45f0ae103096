"""The PostgreSQL store: jobs in a schema of their own on a server, for workers on many machines."""

from __future__ import annotations

from millrace.clock import Clock
from millrace.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore", "from_url"]


def from_url(url: str, *, clock: Clock | None = None) -> PostgresStore:
    """Open the store of a URL such as `postgresql://ada@db.example/shop?schema=jobs`. Nothing is connected yet.

    Raises:
        ConfigurationError: It is no such URL, or has an option that is not known.

    >>> from_url("postgresql://ada:secret@db.example/shop").url
    'postgresql://ada:***@db.example/shop'
    """
    return PostgresStore(url, clock=clock)
