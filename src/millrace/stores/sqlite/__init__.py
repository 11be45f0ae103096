"""The SQLite store: jobs in one file, which may hold other tables too. No server."""

from __future__ import annotations

from millrace.clock import Clock
from millrace.stores.sqlite.store import SQLiteStore
from millrace.stores.sqlite.url import read_url

__all__ = ["SQLiteStore", "from_url"]


def from_url(url: str, *, clock: Clock | None = None) -> SQLiteStore:
    """Open the store of a URL such as `sqlite:///jobs.db?synchronous=normal`.

    Raises:
        ConfigurationError: It names no file, or has an option that is not known.

    >>> from_url("sqlite:///jobs.db?synchronous=normal").url
    'sqlite:///jobs.db'
    """
    path, options = read_url(url)
    return SQLiteStore(path, **options, clock=clock)
