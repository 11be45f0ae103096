"""Waking other processes: after the commit, seldom, again after a reconnect; never needed for being right."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from millrace.stores.postgres.listener import Listener
from millrace.stores.postgres.notices import CROWD, SPACING, WIDE
from millrace.stores.postgres.url import read_url
from millrace.stores.watchdog import Watchdog
from tests.servers.cluster import Cluster
from tests.servers.databases import Database
from tests.servers.proxy import Proxy
from tests.stores.lines.bare import PATIENCE
from tests.stores.lines.calls import Ear, listening
from tests.stores.postgres.lines.conftest import Bare, Opener, until


@pytest.fixture
def wire(postgres: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection that hears every notice as it comes."""
    with postgres.connect() as connection:
        connection.execute(sql.SQL("listen {}").format(sql.Identifier(f"millrace_{postgres.schema}")))
        yield connection


def test_ones_own_process_hears_at_once_and_only_once(store: Bare, wire: psycopg.Connection[Any]) -> None:
    ear = listening(store)
    store.changed("mail")
    assert ear.times == 2
    assert [notice.payload for notice in wire.notifies(timeout=PATIENCE, stop_after=1)] == ["mail"]
    store.changed()
    assert ear.times == 3


def test_what_comes_in_at_once_goes_out_as_one_notice_for_each_queue(
    store: Bare, wire: psycopg.Connection[Any]
) -> None:
    for _ in range(200):
        store.changed("mail", "news")
    store.close()
    heard = [notice.payload for notice in wire.notifies(timeout=0.5)]
    assert set(heard) == {"mail", "news"}
    assert len(heard) < 200  # of 400 that were asked for


@pytest.mark.parametrize(("workers", "distance"), [(CROWD, SPACING), (CROWD + 1, WIDE)])
def test_notices_keep_their_distance(
    store: Bare, postgres: Database, wire: psycopg.Connection[Any], workers: int, distance: float
) -> None:
    postgres.run("insert into {s}.worker select g, 'w', 1, 1, '{{}}' from generate_series(1, %s) g", workers)
    stop = threading.Event()

    def chatter() -> None:
        while not stop.is_set():
            store.changed("mail")

    thread = threading.Thread(target=chatter)
    thread.start()
    list(wire.notifies(timeout=PATIENCE, stop_after=1))  # with the first one the workers are counted
    begun = time.monotonic()
    heard = list(wire.notifies(timeout=PATIENCE, stop_after=10))
    took = time.monotonic() - begun
    stop.set()
    thread.join()
    assert len(heard) >= 10
    assert took >= 8 * distance


def test_what_waits_is_sent_before_a_store_closes(store: Bare, wire: psycopg.Connection[Any]) -> None:
    store.changed("mail")
    store.close()
    assert [notice.payload for notice in wire.notifies(timeout=PATIENCE, stop_after=1)] == ["mail"]


def test_a_notice_that_cannot_be_sent_is_dropped_and_the_next_one_goes_out(cluster: Cluster, opened: Opener) -> None:
    store = opened(cluster.url(deadline="2"))
    store.migrate()
    cluster.stop("immediate")
    try:
        store.changed("mail")
    finally:
        cluster.start()
    assert store.write(lambda session: session.rows("select 1"), repeatable=True) == [(1,)]
    ear = listening(opened(cluster.url()))
    store.changed("news")
    assert ear.hears()


def test_with_notify_off_nothing_is_sent_and_this_process_still_hears(
    postgres: Database, opened: Opener, wire: psycopg.Connection[Any]
) -> None:
    store = opened(postgres.url(notify="off"))
    ear = listening(store)
    store.changed("mail")
    assert ear.hears()
    store.close()
    assert list(wire.notifies(timeout=0.1)) == []


# -- jobs that end


def test_who_waits_for_ends_hears_of_them_and_a_worker_does_not(
    store: Bare, postgres: Database, opened: Opener
) -> None:
    waiting, working = opened(postgres.url()), opened(postgres.url())
    working.begin_work(1)
    worker_ear, ear = listening(working), listening(waiting)
    store.changed()
    assert ear.hears()
    store.changed("mail")  # which a worker hears: so it would have heard what came before
    assert worker_ear.hears()
    assert ear.hears()
    assert worker_ear.times == 2


def test_while_nobody_follows_ends_are_not_told(store: Bare, postgres: Database) -> None:
    with postgres.connect() as other:
        other.execute(sql.SQL("listen {}").format(sql.Identifier(f"millrace_{postgres.schema}_ends")))
        for _ in range(5):
            store.changed()
        store.close()
        assert list(other.notifies(timeout=0.1)) == []


def test_a_script_that_ends_with_its_store_open_has_told_of_its_jobs(
    store: Bare, postgres: Database, wire: psycopg.Connection[Any]
) -> None:
    assert store.url
    script = (
        "from millrace import Millrace\n"
        f"app = Millrace({postgres.url()!r})\n"
        "@app.task(queue='mail')\n"
        "def send(): pass\n"
        "send.enqueue()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert [notice.payload for notice in wire.notifies(timeout=PATIENCE, stop_after=1)] == ["mail"]


# -- a listener whose connection is lost


def test_a_listener_on_a_network_that_has_gone_silent_finds_out(cluster: Cluster) -> None:
    with Proxy(cluster.port) as proxy:
        dog, ear = Watchdog(), Ear()
        settings = read_url(cluster.url(port=proxy.port, read_deadline="0.2", connect_deadline="2"))
        listener = Listener(settings, dog, lambda _: False, ear, quiet=0.1)
        listener.start()
        assert ear.hears()
        until(lambda: cluster.run("select 1 from pg_stat_activity where query = 'select 1' and state = 'idle'"))
        proxy.turn("silent")
        until(lambda: proxy.hits >= 3)  # the question, the end of that connection, and the next one's beginning
        proxy.turn("well")
        assert ear.hears()
        listener.stop()
        dog.stop()


def test_a_listener_never_has_a_transaction_open(store: Bare, postgres: Database) -> None:
    listening(store)
    assert postgres.run("select state from pg_stat_activity where application_name = 'millrace listens'") == [("idle",)]
