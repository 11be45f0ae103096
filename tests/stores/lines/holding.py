"""Whole stores that show what they take a worker to hold. Owns no server and no assertion."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, TypeVar

from millrace.store import Store
from millrace.stores.postgres import PostgresStore
from millrace.stores.postgres import connection as postgres_connection
from millrace.stores.postgres import session as postgres_session
from millrace.stores.redis import RedisStore
from millrace.stores.redis import session as redis_session
from millrace.stores.redis import wire as redis_wire
from millrace.stores.serverlistener import Audible
from millrace.stores.serverstore import ServerStore

__all__ = ["Holding", "PostgresHolding", "RedisHolding"]

C = TypeVar("C", bound=Audible)
S = TypeVar("S")


class Holding(Store, Protocol):
    """A store that shows what it takes its workers to hold."""

    def ids_held(self, worker: int) -> list[bytes]:
        """Return the ids of the jobs."""
        ...

    def open_both(self) -> None:
        """Open both connections that a worker's steps may take."""
        ...


class _Shows(ServerStore[C, S]):
    def ids_held(self, worker: int) -> list[bytes]:
        """Return the ids of the jobs."""
        hold, ids = self._home.held.of(worker), list[bytes]()
        assert hold is not None

        def note(asked: Sequence[bytes]) -> Sequence[bytes]:
            ids.extend(asked)
            return asked

        hold.sift(note)
        return sorted(ids)

    def open_both(self) -> None:
        """Open both connections that a worker's steps may take."""
        both = threading.Barrier(2)

        def meet(_: S) -> None:
            both.wait(10)

        threads = [threading.Thread(target=self._write, args=(meet,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class PostgresHolding(_Shows[postgres_connection.Connection, postgres_session.Session], PostgresStore):
    """A PostgreSQL store that shows it."""


class RedisHolding(_Shows[redis_wire.Connection, redis_session.Session], RedisStore):
    """A Redis store that shows it."""
