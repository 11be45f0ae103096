"""The Redis servers of the tests do what the tests go by: they die, fail over, pause, and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import MovedError

from tests.servers.proxy import Mode, Proxy
from tests.servers.rediscertificate import Certificate, why_no_tls
from tests.servers.redisclient import RedisClient
from tests.servers.rediscluster import RedisCluster
from tests.servers.redisinstallations import RedisInstallation, newest_redis, redis_installations
from tests.servers.redisserver import ALWAYS, EVERY_SECOND, RedisServer, Settings
from tests.servers.redisspaces import RedisSpace

PATIENCE = 10.0  # seconds: bounds a failure, measures nothing

each_installation = pytest.mark.parametrize("installation", redis_installations(), ids=lambda each: each.name)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(redis_server.port) as started:
        yield started


@pytest.fixture
def through(redis_server: RedisServer, proxy: Proxy) -> Iterator[RedisClient]:
    """A connection through the proxy."""
    with RedisClient(redis_server.url(port=proxy.port)) as client:
        yield client


def test_a_prefix_is_emptied_and_nothing_else(each_redis: RedisSpace) -> None:
    each_redis.run("SET", each_redis.key("mine"), "1")
    each_redis.run("SET", "millrace_test:other", "1")
    try:
        assert each_redis.keys() == {b"{millrace_test}:mine"}
        each_redis.empty()
        assert each_redis.keys() == set()
        assert each_redis.run("GET", "millrace_test:other") == b"1"
    finally:
        each_redis.run("DEL", "millrace_test:other")


@each_installation
@pytest.mark.parametrize("settings", [ALWAYS, EVERY_SECOND], ids=["always", "everysec"])
def test_a_kill_keeps_what_was_acknowledged(installation: RedisInstallation, settings: Settings) -> None:
    with RedisServer(installation, settings) as server, server.client() as other:
        server.run("SET", "kept", "1")
        server.restart()
        with pytest.raises(redis.ConnectionError):
            other.run("SET", "kept", "2")
        assert server.run("GET", "kept") == b"1"


@each_installation
def test_a_replica_follows_and_is_promoted(installation: RedisInstallation) -> None:
    with RedisServer(installation) as server:
        server.run("SET", "kept", "1")
        with server.replica() as replica:
            assert replica.run("GET", "kept") == b"1"
            with pytest.raises(redis.ReadOnlyError):
                replica.run("SET", "kept", "2")
            server.kill()
            replica.promote()
            replica.run("SET", "kept", "2")
            replica.restart()
            assert replica.run("GET", "kept") == b"2"


@each_installation
def test_three_nodes_share_the_keys(installation: RedisInstallation) -> None:
    with RedisCluster(installation) as cluster:
        node = cluster.node_of("{millrace}:meta")
        node.run("SET", "{millrace}:meta", "1")
        others = [each for each in cluster.nodes if each is not node]
        for other in others:
            with pytest.raises(MovedError):
                other.run("GET", "{millrace}:meta")
        assert node.run("GET", "{millrace}:meta") == b"1"


@each_installation
def test_a_certificate_is_believed_by_who_trusts_it(installation: RedisInstallation, tmp_path: Path) -> None:
    if why := why_no_tls(installation):
        pytest.skip(why)
    certificate = Certificate.made_in(tmp_path)
    with RedisServer(installation, tls=certificate.settings()) as server:
        with RedisClient(server.url(), ssl_ca_certs=str(certificate.file)) as client:
            assert client.run("PING")
        with pytest.raises(redis.ConnectionError, match="certificate"), RedisClient(server.url()) as stranger:
            stranger.run("PING")


def test_every_session_is_ended(redis_server: RedisServer) -> None:
    with redis_server.client() as one, redis_server.client() as two:
        for each in (one, two):
            each.run("PING")
        assert redis_server.end_sessions() == 2
        for each in (one, two):
            with pytest.raises(redis.ConnectionError):
                each.run("PING")


def test_a_frozen_server_says_nothing_until_it_goes_on(redis_server: RedisServer) -> None:
    answer: list[bytes] = []
    with redis_server.client() as client:
        client.run("SET", "kept", "1")
        caller = threading.Thread(target=lambda: answer.append(client.run("GET", "kept")))
        redis_server.freeze()
        try:
            caller.start()
            caller.join(0.2)
            assert answer == []
        finally:
            redis_server.thaw()
        caller.join(PATIENCE)
    assert answer == [b"1"]


def test_clients_wait_while_they_are_paused(redis_server: RedisServer) -> None:
    answer: list[bytes] = []
    with redis_server.client() as client:
        client.run("SET", "kept", "1")
        caller = threading.Thread(target=lambda: answer.append(client.run("GET", "kept")))
        redis_server.pause_clients(0.4)
        caller.start()
        caller.join(0.1)
        assert answer == []
        caller.join(PATIENCE)
    assert answer == [b"1"]


@pytest.mark.parametrize("mode", ["resetting", "cutting", "halving"])
def test_a_reset_is_seen_at_once(proxy: Proxy, through: RedisClient, mode: Mode) -> None:
    through.run("PING")
    proxy.turn(mode)
    with pytest.raises(redis.ConnectionError):
        through.run("ECHO", "x" * 1000)
    assert proxy.hits == 1


def test_the_newest_redis_stands_for_all() -> None:
    found = redis_installations()
    assert newest_redis() in found
    assert [each for each in found if each.product == "Redis" and each.number > newest_redis().number] == []


@each_installation
def test_a_server_is_what_it_is_taken_for(installation: RedisInstallation) -> None:
    with RedisServer(installation) as server:
        told = server.info("server")
    assert installation.product == ("Valkey" if "valkey_version" in told else "Redis")
    assert installation.version == told.get("valkey_version", told["redis_version"])
