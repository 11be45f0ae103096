"""What a Redis server may do to a call, and what the next one finds; beside what all stores on a server do alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from millrace.errors import ConfigurationError, SchemaMismatch, StoreUnavailable
from millrace.stores.redis.wire import Connection
from tests.servers.proxy import Proxy
from tests.servers.redisserver import RedisServer
from tests.stores.lines.calls import fails
from tests.stores.redis.lines.conftest import Bare, Opener, ask, lua, run, until

PING = ask("PING")


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """A well proxy before a server of this module's own."""
    with Proxy(redis_server.port) as started:
        yield started


@pytest.fixture
def near(redis_server: RedisServer, proxy: Proxy, opened: Opener) -> Bare:
    """A store behind the proxy, connected, in a hurry."""
    store = opened(redis_server.url(port=proxy.port, deadline="0.5", read_deadline="0.5", connect_deadline="1"))
    store.migrate()
    return store


def writes(store: Bare) -> bool:
    """Tell whether a store's server takes writes; it is not tried at each call."""
    try:
        return bool(store.write(ask("SET", "{millrace}:odd", "1")))
    except StoreUnavailable:
        return False


# -- silence


def test_a_late_answer_is_not_taken_for_the_next_calls(near: Bare, proxy: Proxy) -> None:
    proxy.turn("silent")
    fails(lambda: near.write(ask("ECHO", "late")), "did not answer")
    proxy.turn("well")
    assert near.write(ask("ECHO", "next")) == b"next"


def test_connecting_to_a_silent_server_ends(redis_server: RedisServer, proxy: Proxy, opened: Opener) -> None:
    proxy.turn("silent")
    fails(opened(redis_server.url(port=proxy.port, deadline="0.5")).migrate, r"did not answer within 0\.5 s")


def test_a_server_that_does_nothing_is_left_by_the_deadline(near: Bare, redis_server: RedisServer) -> None:
    redis_server.freeze()
    try:
        fails(lambda: near.write(PING), "did not answer")
    finally:
        redis_server.thaw()
    assert near.write(PING) == b"PONG"


# -- lost connections


def test_an_answer_that_was_interrupted_is_not_left_for_the_next_call(
    near: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    near.write(PING)

    def interrupted(_: Connection) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Connection, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        near.write(ask("ECHO", "mine"))
    assert near.write(ask("ECHO", "yours")) == b"yours"


# -- what the server refuses


def test_a_server_that_has_become_a_replica_takes_nothing_and_is_asked_for_anew(
    near: Bare, redis_server: RedisServer
) -> None:
    write = ask("SET", "{millrace}:odd", "1")
    near.write(write)
    redis_server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        fails(lambda: near.write(write), "is a replica and takes no writes; name the primary")
    finally:
        redis_server.run("REPLICAOF", "NO", "ONE")
    until(lambda: writes(near))


def test_who_waits_for_a_failover_writes_once_it_is_over(redis_server: RedisServer, opened: Opener) -> None:
    patient = opened(redis_server.url(deadline="60"))
    write = ask("INCR", "{millrace}:odd-number")
    before = patient.write(write)
    redis_server.run("REPLICAOF", "127.0.0.1", "1")
    redis_server.run("CONFIG", "RESETSTAT")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(patient.write(write)))
    thread.start()
    until(lambda: "errorstat_READONLY" in redis_server.info("errorstats"))
    redis_server.run("REPLICAOF", "NO", "ONE")
    thread.join()
    assert answers == [before + 1]


def test_a_server_whose_memory_is_full_says_what_to_do(near: Bare, redis_server: RedisServer) -> None:
    redis_server.configure("maxmemory", "1")
    try:
        sets = lua("return redis.call('SET', KEYS[1], 'x')", "odd")
        fails(lambda: near.write(run(sets)), "maxmemory is reached; nothing was written.*Raise maxmemory")
        fails(lambda: near.write(ask("SET", "{millrace}:odd", "1")), "maxmemory is reached")
    finally:
        redis_server.configure("maxmemory", "0")
    assert near.write(run(sets)) == b"OK"


def test_keys_of_another_make_are_told(near: Bare, redis_server: RedisServer) -> None:
    redis_server.run("SET", "{millrace}:meta", "text")
    try:
        with pytest.raises(SchemaMismatch, match="not as Millrace made them"):
            near.write(ask("HGET", "{millrace}:meta", "x"))
        with pytest.raises(SchemaMismatch, match="not as Millrace made them"):
            near.write(run(lua("return redis.call('HGET', KEYS[1], 'x')", "meta")))
    finally:
        redis_server.run("DEL", "{millrace}:meta")


def test_the_scripts_own_fault_is_raised_as_it_is(near: Bare) -> None:
    with pytest.raises(Exception, match="nonsense") as told:
        near.write(run(lua("error('nonsense')")))
    assert not isinstance(told.value, StoreUnavailable | ConfigurationError)
    assert near.write(PING) == b"PONG"
