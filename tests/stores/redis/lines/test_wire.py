"""Scripts in one trip: sent by name, whole where the server does not know them, confirmed where that is wanted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.redis.session import Session
from millrace.stores.redis.trouble import explained
from millrace.stores.redis.url import read_url
from millrace.stores.redis.wire import Connection, Lost, Refused, Unconfirmed
from tests.servers.redisinstallations import RedisInstallation, redis_installations
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace
from tests.stores.redis.lines.conftest import Bare, Opener, ask, lua, run, until

PUSH = "redis.call('RPUSH', KEYS[1], '{0}') return '{0}'"
A, B, C = (lua(PUSH.format(name), "pushed") for name in "abc")
TOLD_TIME = lua("return ARGV[1]")
STORE = lua("return redis.call('SET', KEYS[1], ARGV[2])", "kept", durable=True)


@pytest.fixture(scope="module", params=redis_installations(), ids=lambda each: each.name)
def followed(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Each server, with a replica."""
    installation: RedisInstallation = request.param
    with RedisServer(installation) as server, server.replica():
        yield server


def pushed(space: RedisSpace) -> list[bytes]:
    """Return what the scripts have pushed, in order."""
    found: list[bytes] = space.run("LRANGE", space.key("pushed"), 0, -1)
    return found


# -- scripts


def test_a_script_that_the_server_does_not_know_is_sent_whole_and_from_then_on_by_name(
    store: Bare, main_redis: RedisSpace
) -> None:
    main_redis.run("SCRIPT", "FLUSH")
    main_redis.run("CONFIG", "RESETSTAT")

    assert [store.write(run(A)) for _ in range(3)] == [b"a"] * 3

    calls = main_redis.run("INFO", "commandstats")
    assert (calls["cmdstat_eval"]["calls"], calls["cmdstat_evalsha"]["calls"]) == (1, 3)


def test_of_a_trip_only_what_is_not_known_is_sent_again(store: Bare, main_redis: RedisSpace) -> None:
    main_redis.run("SCRIPT", "FLUSH")
    store.write(run(A))
    store.write(run(C))
    main_redis.run("DEL", main_redis.key("pushed"))
    main_redis.run("CONFIG", "RESETSTAT")

    answers = store.write(lambda session: session.trip([(A, ()), (B, ()), (C, ())]))

    assert answers == [b"a", b"b", b"c"]
    assert pushed(main_redis) == [b"a", b"c", b"b"]
    assert main_redis.run("INFO", "commandstats")["cmdstat_eval"]["calls"] == 1


def test_a_script_that_is_refused_keeps_no_other_of_its_trip_from_running(store: Bare, main_redis: RedisSpace) -> None:
    main_redis.run("SET", main_redis.key("text"), "x")
    wrong = lua("return redis.call('RPUSH', KEYS[1], 'x')", "text")

    with pytest.raises(Exception, match="not as Millrace made them"):
        store.write(lambda session: session.trip([(A, ()), (wrong, ()), (C, ())]))

    assert pushed(main_redis) == [b"a", b"c"]
    assert store.write(ask("PING")) == b"PONG"


def test_a_trip_of_no_scripts_sends_nothing(store: Bare) -> None:
    assert store.write(lambda session: session.trip([])) == []


def test_answers_and_arguments_of_any_size_and_bytes_arrive_whole(store: Bare) -> None:
    large = bytes(range(256)) * 4096
    echo = lua("return {ARGV[2], ARGV[3], #ARGV[2]}")
    assert store.write(run(echo, large, -7)) == [large, b"-7", len(large)]


def test_the_time_is_the_callers_or_else_the_servers(store: Bare) -> None:
    assert store.write(run(TOLD_TIME), now=5) == b"5"
    assert store.write(run(TOLD_TIME)) == b""


def test_keys_carry_the_prefix(store: Bare, main_redis: RedisSpace) -> None:
    store.write(run(A))
    assert pushed(main_redis) == [b"a"]


# -- confirmation


def test_an_insert_waits_for_the_replicas_that_are_wanted(followed: RedisServer, opened: Opener) -> None:
    store = opened(followed.url(wait="1"))
    store.write(run(STORE, "known"))
    followed.run("CONFIG", "RESETSTAT")
    assert store.write(run(STORE, "x")) == b"OK"
    assert followed.info("commandstats")["cmdstat_wait"]["calls"] == 1


def test_an_insert_that_too_few_replicas_have_is_told_and_its_effect_is_there(
    followed: RedisServer, opened: Opener
) -> None:
    store = opened(followed.url(wait="2", deadline="0.2"))
    with pytest.raises(StoreUnavailable, match=r"wait=2 was not met \(1 of 2 replicas have it\).*again is harmless"):
        store.write(run(STORE, "y"))
    assert followed.run("GET", "{millrace}:kept") == b"y"
    assert store.write(ask("PING")) == b"PONG"


def test_what_is_no_insert_waits_for_nobody(followed: RedisServer, opened: Opener) -> None:
    store = opened(followed.url(wait="2"))
    assert store.write(run(A)) == b"a"
    assert opened(followed.url()).write(run(STORE, "z")) == b"OK"


@pytest.mark.parametrize(
    ("told", "confirmed"),
    [
        (b"*2\r\n:1\r\n:0\r\n", True),
        (b"*2\r\n:0\r\n:0\r\n", False),
        (b"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n", False),
    ],
)
def test_what_a_server_says_of_its_disk_is_understood(told: bytes, confirmed: bool) -> None:  # noqa: FBT001
    """Answers that a server gives seldom: here one is played by a socket. `test_waiting` has the real ones."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours, wait="fsync")
    theirs.sendall(b"+OK\r\n" + told)
    try:
        if confirmed:
            assert connection.scripts([(STORE, [b"kept"], ["", "x"])]) == [b"OK"]
        else:
            with pytest.raises(Unconfirmed):
                connection.scripts([(STORE, [b"kept"], ["", "x"])])
        assert b"WAITAOF" in theirs.recv(65536)
    finally:
        connection.close()
        theirs.close()


# -- what a connection is


def test_a_server_that_talks_nonsense_is_left() -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    try:
        with pytest.raises(Lost):
            connection.command("PING")
        assert connection.lost
        assert not connection.idle
    finally:
        connection.close()
        theirs.close()


def test_a_connection_that_was_shut_down_from_another_thread_fails(main_redis: RedisSpace, store: Bare) -> None:
    failures: list[Exception] = []
    block = main_redis.key("block")

    def wait(session: Session) -> None:
        try:
            session.command("BLPOP", block, 0)
        except Lost as error:
            failures.append(error)
            raise

    def call() -> None:
        with pytest.raises(StoreUnavailable, match="did not answer"):
            store.write(wait)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: main_redis.run("INFO", "clients")["blocked_clients"])
    for line in store.home.lines.every():
        if line.connection is not None:
            line.connection.shut_down()
    thread.join()
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("OOM command not allowed", "OOM"),
        (
            "ERR Error running script (call to f_1): @user_script:5: @user_script: 5: -OOM command not allowed when",
            "OOM",
        ),
        ("ERR Error running script (call to f_1): @user_script:1: user_script:1: nonsense", "ERR"),
    ],
)
def test_an_error_within_a_script_has_the_code_of_the_command(text: str, code: str) -> None:
    assert Refused(text).code == code


def test_a_password_that_a_server_repeats_is_not_shown() -> None:
    settings = read_url("redis://ann:s3cret@host")
    said = Refused("ERR unknown command `AUTH`, with args beginning with: `ann`, `s3cret`, ")
    told = explained(said, settings, 1.0, lost=False, late=False)
    assert "s3cret" not in str(told)
    assert "***" in str(told)
