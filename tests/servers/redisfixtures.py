"""The Redis servers as fixtures. Owns nothing else; `tests/conftest.py` hands them to every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.middle import middle_in_the_soak
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import EVERY_SECOND, RedisServer
from tests.servers.redisspaces import RedisPark, RedisSpace, all_redis_names, open_redis_park, redis_names

__all__ = [
    "any_redis",
    "any_redis_space",
    "each_redis",
    "each_redis_space",
    "main_redis",
    "main_redis_space",
    "redis_park",
    "redis_server",
]


@pytest.fixture(scope="session")
def redis_park() -> Iterator[RedisPark]:
    """The Redis servers of this run."""
    with open_redis_park() as opened:
        yield opened


@pytest.fixture(scope="session")
def main_redis_space(redis_park: RedisPark) -> RedisSpace:
    """The prefix on the server that stands for all. Opened before any test counts what it holds."""
    return redis_park.space(redis_names()[-1])


@pytest.fixture(scope="session", params=redis_names())
def each_redis_space(request: pytest.FixtureRequest, redis_park: RedisPark) -> RedisSpace:
    """The prefix on the oldest server and on the one that stands for all, in turn."""
    return redis_park.space(request.param)


@pytest.fixture(scope="session", params=middle_in_the_soak(all_redis_names(), redis_names()))
def any_redis_space(request: pytest.FixtureRequest, redis_park: RedisPark) -> RedisSpace:
    """The prefix on every server there is, in turn; those between the oldest and the newest Redis in the soak."""
    return redis_park.space(request.param)


@pytest.fixture
def main_redis(main_redis_space: RedisSpace) -> RedisSpace:
    """An empty prefix on the server that stands for all."""
    main_redis_space.empty()
    return main_redis_space


@pytest.fixture
def each_redis(each_redis_space: RedisSpace) -> RedisSpace:
    """An empty prefix on the oldest server and on the one that stands for all, in turn."""
    each_redis_space.empty()
    return each_redis_space


@pytest.fixture
def any_redis(any_redis_space: RedisSpace) -> RedisSpace:
    """An empty prefix on every server there is, in turn."""
    any_redis_space.empty()
    return any_redis_space


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server that the tests of one module may kill."""
    with RedisServer(newest_redis(), EVERY_SECOND) as started:
        yield started
