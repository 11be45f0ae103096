"""Stores whose sessions may be used from outside, and a connection that counts its trips. Owns no assertion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest

from millrace.conformance.bench import Bench
from millrace.stores.redis.checking import find_faults
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.scripts import Script
from millrace.stores.redis.session import Argument, Session
from millrace.stores.redis.store import RedisStore
from millrace.stores.redis.url import read_url
from millrace.stores.redis.wire import Connection, connect
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace

__all__ = ["Counting", "OpenStore"]

T = TypeVar("T")


class OpenStore(RedisStore):
    """A store in whose sessions a test may run what it likes."""

    def run(self, body: Callable[[Session], T], *, now: int | None = None) -> T:
        """Run a body that writes."""
        return self._write(body, now=now)

    def faults(self) -> list[str]:
        """Return whatever does not agree among the keys."""
        return find_faults(self._read)


class Counting:
    """A connection that keeps what was sent by it.

    Attributes:
        trips: Of each trip the names of its scripts.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.trips: list[list[str]] = []

    def command(self, *words: Argument) -> Any:
        """Run one command."""
        return self._connection.command(*words)

    def scripts(self, calls: Sequence[tuple[Script, Sequence[bytes], Sequence[Argument]]]) -> list[Any]:
        """Run scripts in one trip."""
        self.trips.append([script.name for script, _, _ in calls])
        return self._connection.scripts(calls)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def store(each_redis: RedisSpace, clock: ManualClock) -> Iterator[OpenStore]:
    """A store on that clock, on an empty prefix of each server; when the test is over all its keys agree."""
    opened = OpenStore(each_redis.url(), clock=clock)
    opened.migrate()
    try:
        yield opened
        assert opened.faults() == []
    finally:
        opened.close()


@pytest.fixture
def bench(store: OpenStore, clock: ManualClock) -> Bench:
    """The bench around it."""
    return Bench(store, clock)


@pytest.fixture
def counting(each_redis: RedisSpace) -> Iterator[Counting]:
    """A connection to the same server."""
    connection = connect(read_url(each_redis.url()))
    yield Counting(connection)
    connection.close()


@pytest.fixture
def session(each_redis: RedisSpace, counting: Counting, clock: ManualClock) -> Session:
    """A session on it."""
    return Session(counting, Keyspace(each_redis.prefix), clock.now())
