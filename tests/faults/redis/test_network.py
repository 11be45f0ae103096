"""The way to the server fails in every way there is, under load and at a single call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from millrace.store import Store
from millrace.stores import open_store
from tests.faults.enduring import Endure
from tests.faults.lostreplies import DEADLINES, LostReplies, endure_every_way, warmed
from tests.servers.proxy import Proxy
from tests.servers.redisserver import RedisServer

SECONDS = 9.0


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """The way to the server."""
    with Proxy(redis_server.port) as started:
        yield started


@pytest.fixture
def store(redis_server: RedisServer, proxy: Proxy, prefix: str) -> Iterator[Store]:
    """A store on that way."""
    with closing(open_store(redis_server.url(port=proxy.port, prefix=prefix, **DEADLINES))) as opened:
        yield warmed(opened)


@pytest.mark.timeout(120)
def test_a_network_that_fails_in_every_way_loses_nothing(
    redis_server: RedisServer, proxy: Proxy, prefix: str, endure: Endure
) -> None:
    endure_every_way(redis_server.url(port=proxy.port, prefix=prefix, **DEADLINES), proxy, endure, SECONDS)


class TestLostReplies(LostReplies):
    """A call of a store on that way."""
