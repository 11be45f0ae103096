"""Each kind of server in turn, and a store on it, closed when its test is over. Owns no assertion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.proxy import Proxy
from tests.stores.lines.bare import AnyBare
from tests.stores.lines.sides import PostgresSide, RedisSide, Side


@pytest.fixture(scope="module", params=["postgres", "redis"])
def each_side(request: pytest.FixtureRequest) -> Side:
    """A server of each kind in turn, of this module's own."""
    if request.param == "postgres":
        return PostgresSide(request.getfixturevalue("cluster"))
    return RedisSide(request.getfixturevalue("redis_server"))


@pytest.fixture
def side(each_side: Side) -> Iterator[Side]:
    """The server; the stores that are opened on it are closed."""
    yield each_side
    each_side.close_stores()


@pytest.fixture
def store(side: Side) -> AnyBare:
    """A store, connected."""
    store = side.open()
    store.migrate()
    return store


@pytest.fixture
def proxy(side: Side) -> Iterator[Proxy]:
    """A well proxy before the server."""
    with Proxy(side.port) as started:
        yield started


@pytest.fixture
def near(side: Side, proxy: Proxy) -> AnyBare:
    """A store behind the proxy, connected, in a hurry."""
    store = side.open(port=proxy.port, deadline="0.5", read_deadline="0.5", connect_deadline="1")
    store.migrate()
    return store
