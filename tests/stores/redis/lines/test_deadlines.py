"""A call ends by its deadline whatever the server or the network does; a server that has been away is found again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace.errors import ConfigurationError, SchemaMismatch, StoreUnavailable
from millrace.stores.redis import line
from millrace.stores.redis.session import Session
from millrace.stores.redis.wire import Connection, connect
from tests.servers.proxy import Proxy
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import RedisServer
from tests.stores.redis.lines.conftest import Bare, Opener, ask, lua, run, until

PING = ask("PING")
SOON = 30.0  # seconds: far above what is asked for, far below what TCP would take


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """A well proxy before a server of this module's own."""
    with Proxy(redis_server.port) as started:
        yield started


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server that a test may kill."""
    with RedisServer(newest_redis()) as started:
        yield started


@pytest.fixture
def near(redis_server: RedisServer, proxy: Proxy, opened: Opener) -> Bare:
    """A store behind the proxy, connected, in a hurry."""
    store = opened(redis_server.url(port=proxy.port, deadline="0.5", read_deadline="0.5", connect_deadline="1"))
    store.migrate()
    return store


def fails(call: Callable[[], Any], said: str) -> None:
    """See that a call fails soon."""
    before = time.monotonic()
    with pytest.raises(StoreUnavailable, match=said):
        call()
    assert time.monotonic() - before < SOON


def writes(store: Bare) -> bool:
    """Tell whether a store's server takes writes; it is not tried at each call."""
    try:
        return bool(store.write(ask("SET", "{millrace}:odd", "1")))
    except StoreUnavailable:
        return False


# -- silence


def test_a_write_on_a_silent_network_ends_and_its_effect_is_unknown(near: Bare, proxy: Proxy) -> None:
    proxy.turn("silent")
    fails(lambda: near.write(PING), r"did not answer within 0\.5 s.*effect is unknown")
    proxy.turn("well")
    assert near.write(PING) == b"PONG"


def test_a_late_answer_is_not_taken_for_the_next_calls(near: Bare, proxy: Proxy) -> None:
    proxy.turn("silent")
    fails(lambda: near.write(ask("ECHO", "late")), "did not answer")
    proxy.turn("well")
    assert near.write(ask("ECHO", "next")) == b"next"


def test_a_beat_ends_by_its_own_deadline(near: Bare, proxy: Proxy) -> None:
    near.begin_work(1)
    assert near.beat(PING, within=5) == b"PONG"
    proxy.turn("silent")
    fails(lambda: near.beat(PING, within=0.1), r"did not answer within 0\.1 s")


def test_a_read_on_a_silent_network_ends(near: Bare, proxy: Proxy) -> None:
    near.begin_work(1)
    assert near.read(PING) == b"PONG"
    proxy.turn("silent")
    fails(lambda: near.read(PING), r"did not answer within 0\.5 s")


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


def test_closing_does_not_wait_for_a_silent_network_longer_than_the_deadline(near: Bare, proxy: Proxy) -> None:
    proxy.turn("silent")
    failures: list[StoreUnavailable] = []

    def call() -> None:
        try:
            near.write(PING)
        except StoreUnavailable as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: proxy.hits)
    before = time.monotonic()
    near.close()
    thread.join()
    assert time.monotonic() - before < SOON
    assert len(failures) == 1


# -- lost connections


@pytest.mark.parametrize("mode", ["cutting", "halving", "resetting"])
def test_a_write_whose_reply_is_lost_is_not_repeated_by_itself(near: Bare, proxy: Proxy, mode: Any) -> None:
    runs: list[bool] = []

    def body(session: Session) -> None:
        runs.append(session.again)
        proxy.turn(mode)
        session.command("PING")

    fails(lambda: near.write(body), "effect is unknown")
    assert runs == [False]


def test_a_body_that_may_be_repeated_is_and_learns_of_it(near: Bare, proxy: Proxy) -> None:
    runs: list[bool] = []

    def body(session: Session) -> None:
        runs.append(session.again)
        if not session.again:
            proxy.turn("cutting")
        try:
            session.command("PING")
        finally:
            proxy.turn("well")

    near.write(body, repeatable=True)
    assert runs == [False, True]


def test_a_connection_that_was_ended_while_idle_is_replaced_before_anything_is_sent(
    redis_server: RedisServer, opened: Opener
) -> None:
    store = opened(redis_server.url())
    store.begin_work(1)
    calls: list[Callable[[], Any]] = [
        lambda: store.write(PING),
        lambda: store.read(PING),
        lambda: store.beat(PING, within=5),
    ]
    for call in calls:
        call()
    assert redis_server.end_sessions() >= 3
    assert [call() for call in calls] == [b"PONG"] * 3


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


# -- a server that is away


def test_a_producer_waits_for_a_server_that_restarts_and_a_worker_does_not(mortal: RedisServer, opened: Opener) -> None:
    patient, near = opened(mortal.url(deadline="60")), opened(mortal.url())
    patient.write(PING)
    near.begin_work(1)
    near.beat(PING, within=5)
    mortal.kill()
    fails(lambda: near.beat(PING, within=5), "cannot be reached|was lost")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(patient.write(PING, repeatable=True)))
    thread.start()
    mortal.start()
    thread.join()
    assert answers == [b"PONG"]


def test_a_server_that_was_never_there_is_told_at_once_and_no_password_with_it(opened: Opener) -> None:
    store = opened("redis://ann:s3cret@127.0.0.1:1/0?deadline=600")
    with pytest.raises(StoreUnavailable, match=r"cannot be reached.*see that it runs") as told:
        store.write(PING)
    assert "s3cret" not in str(told.value)
    fails(lambda: store.write(PING), "cannot be reached")


def test_closing_ends_the_wait_for_a_server(mortal: RedisServer, opened: Opener) -> None:
    waiting = opened(mortal.url(deadline="600"))
    waiting.write(PING)
    failed = threading.Event()

    def call() -> None:
        try:
            waiting.write(PING, repeatable=True)
        except StoreUnavailable:
            failed.set()

    mortal.kill()
    try:
        thread = threading.Thread(target=call)
        thread.start()
        waiting.close()
        thread.join()
    finally:
        mortal.start()
    assert failed.is_set()


def test_a_server_that_is_away_is_not_tried_by_every_call(
    mortal: RedisServer, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mortal.url())
    store.write(PING)
    tries: list[int] = []

    def counting(*args: Any, **kwargs: Any) -> Connection:
        tries.append(1)
        return connect(*args, **kwargs)

    monkeypatch.setattr(line, "connect", counting)
    mortal.kill()
    try:
        for _ in range(200):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                store.beat(lambda _: pytest.fail("it is not there"), within=5)
    finally:
        mortal.start()
    assert 1 <= len(tries) < 100
    assert store.write(PING) == b"PONG"


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
