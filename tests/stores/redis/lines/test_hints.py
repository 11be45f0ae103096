"""Hints: a process hears of its own changes at once, of others' by its server, and of none while that is away."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from millrace.errors import StoreUnavailable
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.listener import Listener
from millrace.stores.redis.url import read_url
from millrace.stores.watchdog import Watchdog
from tests.servers.proxy import Proxy
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import RedisServer
from tests.servers.redisspaces import RedisSpace
from tests.stores.redis.lines.conftest import Bare, Opener, ask, until

PATIENCE = 20.0  # seconds: bounds a failure, measures nothing


class Ear:
    """A callback that counts, and can be waited for."""

    def __init__(self) -> None:
        self._heard = threading.Semaphore(0)
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        self._heard.release()

    def hears(self) -> bool:
        """Wait until it is called once more."""
        return self._heard.acquire(timeout=PATIENCE)


def listening(store: Bare) -> Ear:
    """Watch, and wait until what others do is heard."""
    ear = Ear()
    store.watch(ear)
    assert ear.hears()
    return ear


def script(space: RedisSpace) -> str:
    """Return a program that enqueues a job and ends."""
    return (
        "from millrace import Millrace\n"
        f"app = Millrace({space.url()!r})\n"
        "@app.task(queue='mail')\n"
        "def send(): pass\n"
        "send.enqueue()\n"
    )


@pytest.fixture
def mortal() -> Iterator[RedisServer]:
    """A server that a test may kill."""
    with RedisServer(newest_redis()) as started:
        yield started


def test_another_process_hears_of_a_job(store: Bare, main_redis: RedisSpace) -> None:
    store.begin_work(1)  # so it hears of jobs alone, and of none of the ends
    ear = listening(store)
    subprocess.run([sys.executable, "-c", script(main_redis)], check=True)
    assert ear.hears()


def test_ones_own_process_hears_at_once(store: Bare) -> None:
    ear = listening(store)
    store.changed("mail")
    assert ear.times == 2


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


def test_with_listen_off_there_is_no_listener_and_this_process_still_hears(
    main_redis: RedisSpace, opened: Opener
) -> None:
    store, ear = opened(main_redis.url(listen="off")), Ear()
    watch = store.watch(ear)
    store.changed("mail")
    assert ear.times == 1
    assert not watch.live
    assert store.write(ask("PUBLISH", main_redis.key("wake"), "mail")) == 0


def test_a_watch_that_is_closed_hears_no_more_and_the_last_one_ends_the_listener(
    store: Bare, main_redis: RedisSpace
) -> None:
    first = Ear()
    one, two = store.watch(first), store.watch(lambda: None)
    assert first.hears()
    one.close()
    one.close()
    before = first.times
    store.changed("mail")
    assert first.times == before
    two.close()
    until(lambda: store.write(ask("PUBLISH", main_redis.key("wake"), "mail")) == 0)


def test_a_server_that_is_not_there_cannot_be_watched(opened: Opener) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        opened("redis://127.0.0.1:1").watch(lambda: None)


# -- a listener whose connection is lost


def test_after_a_reconnect_it_listens_again_and_tells_to_look_once(redis_server: RedisServer, opened: Opener) -> None:
    store = opened(redis_server.url())
    ear = listening(store)
    assert redis_server.end_sessions() >= 1
    assert ear.hears()
    assert store.write(ask("PUBLISH", "{millrace}:wake", "mail")) == 1
    assert ear.hears()
    assert ear.times == 3


def test_while_the_server_cannot_be_reached_a_watch_says_that_no_hints_come(
    mortal: RedisServer, opened: Opener
) -> None:
    ear = Ear()
    watch = opened(mortal.url()).watch(ear)
    assert ear.hears()
    assert watch.live
    mortal.kill()
    until(lambda: not watch.live)
    mortal.start()
    until(lambda: watch.live)


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
