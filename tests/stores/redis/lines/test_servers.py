"""Which servers are taken: by version, kind, role, eviction, layout; by TLS, by socket, with a user, in a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.errors import ConfigurationError, MillraceError, SchemaMismatch, StoreUnavailable
from millrace.stores.redis.server import Server, require
from millrace.stores.redis.settings import Settings
from tests.servers.rediscertificate import Certificate, why_no_tls
from tests.servers.redisclient import RedisClient
from tests.servers.rediscluster import RedisCluster
from tests.servers.redisinstallations import newest_redis, redis_with_tls
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace
from tests.stores.redis.lines.conftest import Opener, ask, lua, run

PING = ask("PING")
SET = lua("return redis.call('SET', KEYS[1], 'x')", "kept")
NEEDED = ("+@read", "+@write", "+@scripting", "+@connection", "+publish", "+subscribe", "+time", "+wait")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three nodes."""
    with RedisCluster(newest_redis()) as started:
        yield started


# -- the server


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server(name="Redis", version=(6, 0, 16)), r"Redis 6\.0\.16, which is too old; Redis 6\.2"),
        (Server(name="KeyDB", version=(6, 3, 4)), r"KeyDB 6\.3\.4, on which nothing was tried.*allow_server=any"),
        (Server(name="Redis", version=(7, 2), replica=True), "is a replica and takes no writes"),
        (Server(name="Valkey", version=(8, 0), policy="allkeys-lru"), "maxmemory-policy is allkeys-lru.*noeviction"),
        (Server(name="Valkey", version=(8, 0), policy="volatile-ttl"), "allow_eviction=1"),
    ],
)
def test_a_server_that_will_not_do_is_refused_with_what_to_do(server: Server, said: str) -> None:
    with pytest.raises(MillraceError, match=said):
        require(server, Settings(url="redis://host"))


@pytest.mark.parametrize(
    "server",
    [
        Server(name="Redis", version=(6, 2)),
        Server(name="Valkey", version=(9, 0, 1), policy="noeviction"),
        Server(name="", version=()),  # it does not say
    ],
)
def test_a_server_that_will_do_is_taken(server: Server) -> None:
    require(server, Settings(url="redis://host"))


def test_what_is_allowed_is_taken() -> None:
    allowed = Settings(url="redis://host", allow_eviction=True, allow_server=True)
    require(Server(name="KeyDB", version=(6, 3, 4), policy="allkeys-lru"), allowed)


def test_waiting_for_the_disk_needs_a_server_that_can_tell_and_has_a_file() -> None:
    settings = Settings(url="redis://host", wait="fsync")
    with pytest.raises(ConfigurationError, match=r"needs 7\.2"):
        require(Server(name="Redis", version=(7, 0, 15)), settings)
    with pytest.raises(ConfigurationError, match="appendonly"):
        require(Server(name="Redis", version=(7, 2), facts={"aof_enabled": "0"}), settings)
    require(Server(name="Redis", version=(7, 2), facts={"aof_enabled": "1"}), settings)


def test_a_server_that_evicts_is_refused_and_left_as_it_was(redis_server: RedisServer, opened: Opener) -> None:
    redis_server.configure("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match="maxmemory-policy is allkeys-lru"):
            opened(redis_server.url(prefix="evicting")).write(PING)
        assert redis_server.run("KEYS", "{evicting}:*") == []
        assert opened(redis_server.url(prefix="evicting", allow_eviction="1")).write(PING) == b"PONG"
    finally:
        redis_server.configure("maxmemory-policy", "noeviction")


def test_a_server_without_a_file_is_taken_with_a_warning_once(
    redis_server: RedisServer, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.configure("appendonly", "no")
    try:
        store = opened(redis_server.url())
        store.begin_work(1)
        store.write(PING)
        store.read(PING)
    finally:
        redis_server.configure("appendonly", "yes")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "writes no append-only file" in warnings[0]


def test_a_replica_is_refused(opened: Opener) -> None:
    with (
        RedisServer(newest_redis()) as server,
        server.replica() as replica,
        pytest.raises(StoreUnavailable, match="is a replica"),
    ):
        opened(replica.url()).write(PING)


# -- the layout


def test_the_layout_is_written_once_and_told_once(main_redis: RedisSpace, opened: Opener) -> None:
    store = opened(main_redis.url())
    assert not store.exists()
    assert store.migrate() == ["layout 1 of prefix 'millrace_test'"]
    assert store.migrate() == []
    assert store.exists()
    assert opened(main_redis.url()).migrate() == []
    assert main_redis.run("GET", main_redis.key("format")) == b"1"


@pytest.mark.parametrize(
    ("there", "said"), [("2", "newer Millrace.*upgrade it"), ("0", "needs 1"), ("odd", "choose another")]
)
def test_another_layout_is_refused_and_left_as_it_is(
    main_redis: RedisSpace, opened: Opener, there: str, said: str
) -> None:
    main_redis.run("SET", main_redis.key("format"), there)
    with pytest.raises(SchemaMismatch, match=said):
        opened(main_redis.url()).write(PING)
    assert main_redis.run("GET", main_redis.key("format")) == there.encode()


def test_databases_and_prefixes_are_kept_apart(redis_server: RedisServer, opened: Opener) -> None:
    one, two = opened(redis_server.url() + "/1"), opened(redis_server.url() + "/2")
    one.write(run(SET))
    assert (one.read(ask("EXISTS", "{millrace}:kept")), two.read(ask("EXISTS", "{millrace}:kept"))) == (1, 0)
    with pytest.raises(ConfigurationError, match="has no database 99"):
        opened(redis_server.url() + "/99").write(PING)


# -- who we are


def test_a_user_with_what_is_needed_can_do_all_and_no_more(redis_server: RedisServer, opened: Opener) -> None:
    redis_server.run("ACL", "SETUSER", "ann", "reset", "on", ">s3cret", "~{millrace}:*", "&{millrace}:*", *NEEDED)
    store = opened(redis_server.url(login="ann:s3cret"))
    assert store.write(run(SET)) == b"OK"
    assert store.now() > 0
    assert {finding.subject for finding in store.check() if finding.level == "note"} >= {"eviction", "durability"}
    with pytest.raises(ConfigurationError, match="does not allow it to this user"):
        store.write(ask("SET", "other", "1"))
    with pytest.raises(ConfigurationError, match="does not allow it to this user"):
        store.write(run(lua("return redis.call('SET', 'other', '1')")))


def test_a_user_whose_scripts_could_not_publish_is_refused_before_anything_is_written(
    redis_server: RedisServer, opened: Opener
) -> None:
    redis_server.run("ACL", "SETUSER", "mute", "on", ">s3cret", "~*", "resetchannels", "+@all")
    with pytest.raises(ConfigurationError, match=r"grant it \+publish and &\{silence\}:\*"):
        opened(redis_server.url(login="mute:s3cret", prefix="silence")).write(PING)
    assert redis_server.run("KEYS", "{silence}:*") == []


@pytest.fixture
def guarded(redis_server: RedisServer) -> Iterator[RedisServer]:
    """The server, for a while with a password."""
    redis_server.configure("requirepass", "s3cret")
    yield redis_server
    with RedisClient(redis_server.url(login=":s3cret")) as admin:
        admin.run("CONFIG", "SET", "requirepass", "")


@pytest.mark.parametrize("login", ["ann:wrong", "nobody:s3cret", ""])
def test_who_is_not_known_is_told_and_no_password_with_it(login: str, guarded: RedisServer, opened: Opener) -> None:
    with pytest.raises(ConfigurationError, match="password") as told:
        opened(guarded.url(login=login)).write(PING)
    assert "wrong" not in str(told.value)
    assert "s3cret" not in str(told.value)
    assert opened(guarded.url(login=":s3cret")).write(PING) == b"PONG"


def test_a_password_where_none_is_set_is_told(redis_server: RedisServer, opened: Opener) -> None:
    with pytest.raises(ConfigurationError, match="does not take this user and password"):
        opened(redis_server.url(login=":s3cret")).write(PING)


# -- other ways


def test_by_a_socket(redis_server: RedisServer, opened: Opener) -> None:
    store = opened(redis_server.socket_url(db="3"))
    assert store.write(run(SET)) == b"OK"
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        opened("unix:///nowhere/redis.sock").write(PING)


def test_by_tls_and_only_where_the_certificate_is_trusted(tmp_path: Path, opened: Opener) -> None:
    if reason := why_no_tls(redis_with_tls()):
        pytest.skip(reason)
    certificate = Certificate.made_in(tmp_path)
    with RedisServer(redis_with_tls(), tls=certificate.settings()) as server:
        trusting = opened(server.url(ssl_ca_certs=str(certificate.file)))
        trusting.begin_work(1)
        assert [trusting.write(run(SET)) for _ in range(3)] == [b"OK"] * 3
        big = trusting.write(run(lua("return ARGV[2]"), b"x" * 1_000_000))
        assert len(big) == 1_000_000
        assert trusting.write(PING) == b"PONG"
        told: list[int] = []
        watch = trusting.watch(lambda: told.append(1))
        watch.close()
        assert opened(server.url(ssl_cert_reqs="none")).write(PING) == b"PONG"
        with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
            opened(server.url()).write(PING)
        with pytest.raises(StoreUnavailable, match=r"cannot be reached|was lost"):
            opened(f"redis://127.0.0.1:{server.port}").write(PING)


# -- a cluster


@pytest.mark.parametrize("node", range(3))
def test_in_a_cluster_any_node_leads_to_the_one_that_has_our_keys(
    cluster: RedisCluster, opened: Opener, node: int
) -> None:
    store = opened(cluster.nodes[node].url(prefix="jobs"))
    store.begin_work(1)
    for _ in range(3):
        assert store.write(run(SET)) == b"OK"
    assert cluster.node_of("{jobs}:").run("EXISTS", "{jobs}:kept") == 1


def test_keys_that_move_to_another_node_are_followed(cluster: RedisCluster, opened: Opener) -> None:
    store = opened(cluster.nodes[0].url(prefix="moving"))
    assert store.write(run(SET)) == b"OK"
    old = cluster.node_of("{moving}:")
    new = next(node for node in cluster.nodes if node is not old)
    slot = old.run("CLUSTER", "KEYSLOT", "{moving}:")
    cluster.move(slot, old, new)
    try:
        assert store.write(run(SET)) == b"OK"
        assert new.run("EXISTS", "{moving}:kept") == 1
    finally:
        cluster.move(slot, new, old)
