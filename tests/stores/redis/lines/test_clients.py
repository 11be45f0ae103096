"""A store made of the caller's own client: it finds the same server, and leaves the client alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.credentials import CredentialProvider

from millrace import Millrace
from millrace.errors import ConfigurationError
from millrace.stores.redis import RedisStore, ShardedRedisStore
from tests.servers.rediscertificate import Certificate, why_no_tls
from tests.servers.rediscluster import RedisCluster
from tests.servers.redisinstallations import newest_redis, redis_installations
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace

NAME = "millrace-test-client"
LIBRARY: Any = redis  # whose types leave much open
AWAITED, CLUSTERED, SENTINELS = (import_module(f"redis.{name}") for name in ("asyncio", "cluster", "sentinel"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three nodes, each with a third of the slots."""
    with RedisCluster(newest_redis()) as started:
        yield started


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    """A client on a database of its own, which decodes what it reads: that is nothing to us."""
    with LIBRARY.Redis(port=redis_server.port, db=2, decode_responses=True) as made:
        yield made
        made.flushdb()


def works(store: RedisStore | ShardedRedisStore) -> None:
    """Enqueue, run and read a job."""
    with Millrace(store) as app:

        @app.task(name="double")
        def double(number: int) -> int:
            return number * 2

        job = double.enqueue(21)
        app.drain()
        assert app.result(job) == 42


def test_a_client_tells_where_its_server_is(client: Any) -> None:
    works(RedisStore(client=client, prefix=NAME))
    assert client.exists(f"{{{NAME}}}:meta")
    assert client.ping()


def test_so_does_one_of_an_event_loop(redis_server: RedisServer, client: Any) -> None:
    works(RedisStore(client=AWAITED.Redis(port=redis_server.port, db=2), prefix=NAME))
    assert client.dbsize()


def test_so_does_one_by_a_socket(redis_server: RedisServer) -> None:
    path = redis_server.socket_url().removeprefix("unix://").partition("?")[0]
    with LIBRARY.Redis(unix_socket_path=path, db=3) as client:
        works(RedisStore(client=client, prefix=NAME))
        assert client.dbsize()
        client.flushdb()


def test_its_account_is_asked_for_at_each_connection(redis_server: RedisServer, client: Any) -> None:
    class Tokens(CredentialProvider):
        asked = 0

        def get_credentials(self) -> tuple[str, str]:
            self.asked += 1
            return "ann", f"token-{self.asked}"

    tokens = Tokens()
    for number in range(1, 20):
        client.execute_command("ACL", "SETUSER", "ann", "on", f">token-{number}", "allkeys", "allchannels", "+@all")
    try:
        with LIBRARY.Redis(port=redis_server.port, db=2, credential_provider=tokens) as theirs:
            store = RedisStore(client=theirs, prefix=NAME)
            works(store)
        assert tokens.asked >= 1
        assert "token" not in store.url
    finally:
        client.execute_command("ACL", "DELUSER", "ann")


def test_so_does_one_by_tls(tmp_path: Path) -> None:
    with_tls = [each for each in redis_installations() if why_no_tls(each) is None]
    if not with_tls:
        pytest.skip("no server that is here was built with TLS, or there is no openssl")
    certificate = Certificate.made_in(tmp_path)
    with (
        RedisServer(with_tls[-1], tls=certificate.settings()) as server,
        LIBRARY.Redis(port=server.port, host="127.0.0.1", ssl=True, ssl_ca_certs=str(certificate.file)) as client,
    ):
        store = RedisStore(client=client)
        assert store.url == f"rediss://127.0.0.1:{server.port}/0"
        works(store)


def test_so_does_one_of_a_cluster(cluster: RedisCluster) -> None:
    client = CLUSTERED.RedisCluster(host="127.0.0.1", port=cluster.nodes[1].port)
    try:
        works(RedisStore(client=client, prefix=NAME))
        works(ShardedRedisStore(client=client, prefix=f"{NAME}-spread"))
    finally:
        client.close()


def test_passwords_are_not_shown(main_redis: RedisSpace) -> None:
    del main_redis
    client = LIBRARY.Redis.from_url("rediss://ada:secret@db.example/3?ssl_cert_reqs=none")
    store = RedisStore(client=client, wait=1)
    assert store.url == "rediss://ada:***@db.example:6379/3"
    assert "secret" not in repr(store)


def test_what_cannot_be_taken_over_is_refused_with_what_to_give_instead() -> None:
    master = SENTINELS.Sentinel([("127.0.0.1", 1)]).master_for("main")
    with pytest.raises(ConfigurationError, match=r"asks sentinels.*give the URL"):
        RedisStore(client=master)
    with pytest.raises(ConfigurationError, match=r"ssl_ca_data.*give a URL"):
        RedisStore(client=LIBRARY.Redis(ssl=True, ssl_ca_data="x"))
    with pytest.raises(ConfigurationError, match="client=7 is no client"):
        RedisStore(client=7)
    with pytest.raises(ConfigurationError, match="either a URL or client="):
        RedisStore()
    with pytest.raises(ConfigurationError, match="either a URL or client="):
        RedisStore("redis://", client=LIBRARY.Redis())
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisStore(client=LIBRARY.Redis(), prefix="a b")
