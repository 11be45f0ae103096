"""Whether all keys of a Redis store agree with each other, seen by a connection that is no store's."""

from __future__ import annotations

from contextlib import closing

from millrace.stores.redis.checking import find_faults
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.session import Session
from millrace.stores.redis.url import read_url
from millrace.stores.redis.wire import connect

__all__ = ["disagreements"]


def disagreements(url: str) -> list[str]:
    """Look at every key of a store, and tell what does not agree."""
    settings = read_url(url)
    with closing(connect(settings)) as connection:
        session = Session(connection, Keyspace(settings.prefix), None)
        return find_faults(lambda body: body(session))
