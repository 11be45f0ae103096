"""What `doctor` is told of a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.messages import Finding
from millrace.stores.redis import health
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import RedisServer
from tests.stores.redis.lines.conftest import Bare, Opener


@pytest.fixture
def sound(redis_server: RedisServer, opened: Opener) -> Iterator[Bare]:
    """A store on a server with a limit of memory, as it should be."""
    redis_server.configure("maxmemory", "1gb")
    yield opened(redis_server.url())
    redis_server.configure("maxmemory", "0")


def told(store: Bare) -> dict[str, Finding]:
    """Return what is found, by its subject."""
    return {finding.subject: finding for finding in store.check()}


def test_a_sound_server_gives_no_trouble(sound: Bare) -> None:
    found = told(sound)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert set(found) == {"version", "durability", "eviction", "memory", "hints", "clock"}


@pytest.mark.parametrize(
    ("name", "value", "well", "subject", "level", "said"),
    [
        ("appendonly", "no", "yes", "durability", "error", "set appendonly to yes"),
        ("maxmemory", "1mb", "1gb", "memory", "warning", "nothing is enqueued any more"),
        ("maxmemory", "0", "1gb", "memory", "note", "without a limit"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(
    sound: Bare, redis_server: RedisServer, name: str, value: str, well: str, subject: str, level: str, said: str
) -> None:
    sound.migrate()
    redis_server.configure(name, value)
    try:
        found = told(sound)[subject]
    finally:
        redis_server.configure(name, well)
    assert found.level == level
    assert said in found.text


def test_eviction_that_is_allowed_is_told_all_the_same(redis_server: RedisServer, opened: Opener) -> None:
    redis_server.configure("maxmemory-policy", "volatile-lru")
    try:
        assert told(opened(redis_server.url()))["server"].level == "error"
        found = told(opened(redis_server.url(allow_eviction="1")))["eviction"]
    finally:
        redis_server.configure("maxmemory-policy", "noeviction")
    assert found.level == "error"
    assert "as ?allow_eviction=1 allows" in found.text


def test_a_clock_that_is_apart_is_told(sound: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_APART", -1.0)
    assert told(sound)["clock"].level == "note"


def test_replicas_are_told_by_the_primary_and_a_replica_is_an_error(opened: Opener) -> None:
    with RedisServer(newest_redis()) as server, server.replica() as replica:
        assert told(opened(server.url()))["replicas"].level == "note"
        (found,) = opened(replica.url()).check()
        assert (found.level, "is a replica" in found.text) == ("error", True)


def test_a_server_that_is_not_there_is_an_error_and_no_exception(opened: Opener) -> None:
    (found,) = opened("redis://:s3cret@127.0.0.1:1").check()
    assert (found.level, found.subject) == ("error", "server")
    assert "s3cret" not in found.text
