"""Hints as a Redis server publishes them: to whom which are told, and by whom they are heard."""

from __future__ import annotations

import subprocess
import sys

import pytest

from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.listener import Listener
from millrace.stores.redis.url import read_url
from millrace.stores.watchdog import Watchdog
from tests.servers.proxy import Proxy
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace
from tests.stores.lines.calls import Ear, listening
from tests.stores.redis.lines.conftest import Bare, Opener, ask, until


def script(space: RedisSpace) -> str:
    """Return a program that enqueues a job and ends."""
    return (
        "from millrace import Millrace\n"
        f"app = Millrace({space.url()!r})\n"
        "@app.task(queue='mail')\n"
        "def send(): pass\n"
        "send.enqueue()\n"
    )


def test_another_process_hears_of_a_job(store: Bare, main_redis: RedisSpace) -> None:
    store.begin_work(1)  # so it hears of jobs alone, and of none of the ends
    ear = listening(store)
    subprocess.run([sys.executable, "-c", script(main_redis)], check=True)
    assert ear.hears()


def test_who_waits_for_ends_hears_of_them_and_a_worker_does_not(
    store: Bare, main_redis: RedisSpace, opened: Opener
) -> None:
    waiting, working = opened(main_redis.url()), opened(main_redis.url())
    working.begin_work(1)
    worker_ear, ear = listening(working), listening(waiting)
    assert store.write(ask("PUBLISH", main_redis.key("ends"), "")) == 1
    assert ear.hears()
    assert store.write(ask("PUBLISH", main_redis.key("wake"), "mail")) == 2
    assert worker_ear.hears()  # so it would have heard what came before
    assert ear.hears()
    assert worker_ear.times == 2


def test_another_prefix_is_not_heard(store: Bare, main_redis: RedisSpace) -> None:
    ear = listening(store)
    assert store.write(ask("PUBLISH", "{other}:wake", "mail")) == 0
    assert store.write(ask("PUBLISH", main_redis.key("wake"), "mail")) == 1
    assert ear.hears()
    assert ear.times == 2


# -- a listener whose connection is lost


def test_a_listener_on_a_network_that_has_gone_silent_finds_out(redis_server: RedisServer) -> None:
    with Proxy(redis_server.port) as proxy:
        dog, ear = Watchdog(), Ear()
        settings = read_url(redis_server.url(port=proxy.port, read_deadline="0.2", connect_deadline="2"))
        listener = Listener(settings, Keyspace("millrace"), dog, ear, quiet=0.1)
        listener.start()
        assert ear.hears()
        until(lambda: "cmdstat_ping" in redis_server.info("commandstats"))
        proxy.turn("silent")
        until(lambda: proxy.hits >= 3)  # the question, the end of that connection, and the next one's beginning
        proxy.turn("well")
        assert ear.hears()
        listener.stop()
        dog.stop()


def test_who_may_not_subscribe_is_told_in_the_log_and_polls(
    redis_server: RedisServer, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.run("ACL", "SETUSER", "deaf", "on", ">s3cret", "~*", "&*", "+@all", "-subscribe")
    caplog.set_level("INFO", "millrace.redis")
    watch = opened(redis_server.url(login="deaf:s3cret")).watch(lambda: None)
    until(lambda: "polling goes on" in caplog.text)
    assert not watch.live
    assert "does not allow it to this user" in caplog.text
    assert "s3cret" not in caplog.text
