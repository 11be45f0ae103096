"""Why a server lets nobody in, where it hangs up with the reason: that is told, and not that the line was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.redis import RedisStore
from tests.servers.redisclient import RedisClient
from tests.servers.redisserver import RedisServer


@pytest.fixture
def admin(redis_server: RedisServer) -> Iterator[RedisClient]:
    """The one client that the server takes."""
    with redis_server.client() as client:
        client.run("CONFIG", "SET", "maxclients", "1")
        yield client
        client.run("CONFIG", "SET", "maxclients", "10000")


@pytest.mark.parametrize("login", ["", "ann:s3cret"])
def test_a_server_that_is_full_is_told_as_that_and_is_worth_another_try(
    redis_server: RedisServer, admin: RedisClient, login: str
) -> None:
    full = r"takes no more connections: .*max number of clients.*raise maxclients"
    for _ in range(10):  # what it says and that it hangs up may be heard in more than one way
        with closing(RedisStore(redis_server.url(login=login))) as store, pytest.raises(StoreUnavailable, match=full):
            store.now()
    admin.run("CONFIG", "SET", "maxclients", "10000")
    with closing(RedisStore(redis_server.url())) as store:
        assert store.now() > 0
