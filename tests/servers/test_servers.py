"""The servers of the tests do what the tests go by: they crash, fail over, fall silent, and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.servers.bouncer import Bouncer
from tests.servers.cluster import Cluster
from tests.servers.databases import Database
from tests.servers.proxy import Mode, Proxy

PATIENCE = 10.0  # seconds: bounds a failure, measures nothing


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(cluster.port) as started:
        yield started


@pytest.fixture
def through(cluster: Cluster, proxy: Proxy) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection through the proxy."""
    with psycopg.connect(cluster.url(port=proxy.port), autocommit=True) as connection:
        yield connection


def test_a_schema_is_emptied_and_keeps_its_migrations(postgres: Database) -> None:
    postgres.drop()
    postgres.run("create schema {s}")
    postgres.run("create table {s}.migration (version int)")
    postgres.run("create table {s}.thing (number int)")
    postgres.run("insert into {s}.migration values (1)")
    postgres.run("insert into {s}.thing values (1)")
    postgres.empty()
    assert postgres.run("select (select count(*) from {s}.migration), (select count(*) from {s}.thing)") == [(1, 0)]
    postgres.drop()


def test_a_crash_keeps_what_was_committed(cluster: Cluster) -> None:
    cluster.run("create table kept (number int)")
    with cluster.connect() as other:
        cluster.restart()
        with pytest.raises(psycopg.OperationalError):
            other.execute("insert into kept values (1)")
    assert cluster.run("select count(*) from kept") == [(0,)]


def test_every_session_is_ended(cluster: Cluster) -> None:
    with cluster.connect() as one, cluster.connect() as two:
        assert cluster.terminate_all() == 2
        for each in (one, two):
            with pytest.raises(psycopg.OperationalError):
                each.execute("select 1")


def test_a_standby_follows_and_is_promoted(cluster: Cluster) -> None:
    with cluster.standby() as standby:
        assert standby.run("select pg_is_in_recovery()") == [(True,)]
        standby.promote()
        assert standby.run("select pg_is_in_recovery()") == [(False,)]


def test_a_silent_proxy_tells_nobody_and_delivers_late(
    proxy: Proxy, through: psycopg.Connection[tuple[Any, ...]]
) -> None:
    through.execute("select 1")
    proxy.turn("silent")
    answer: list[Any] = []
    caller = threading.Thread(target=lambda: answer.extend(through.execute("select 2").fetchall()))
    caller.start()
    caller.join(0.2)
    assert (answer, proxy.hits) == ([], 1)
    proxy.turn("well")
    caller.join(PATIENCE)
    assert answer == [(2,)]


@pytest.mark.parametrize("mode", ["resetting", "cutting", "halving"])
def test_a_reset_is_seen_at_once(proxy: Proxy, through: psycopg.Connection[tuple[Any, ...]], mode: Mode) -> None:
    through.execute("select 1")
    proxy.turn(mode)
    with pytest.raises(psycopg.OperationalError):
        through.execute("select generate_series(1, 1000)")
    assert proxy.hits == 1


def test_a_request_gets_through_whose_reply_is_cut(
    cluster: Cluster, proxy: Proxy, through: psycopg.Connection[tuple[Any, ...]]
) -> None:
    cluster.run("create table cut (number int)")
    proxy.turn("cutting")
    with pytest.raises(psycopg.OperationalError):
        through.execute("insert into cut values (1)")
    assert cluster.run("select number from cut") == [(1,)]


def test_sessions_change_hands_behind_pgbouncer(bouncer: Bouncer) -> None:
    """Two clients at once in turn on one pool: what the one sets, the other may meet."""
    with psycopg.connect(bouncer.url(), autocommit=True) as one, psycopg.connect(bouncer.url(), autocommit=True) as two:
        servers = {each.execute("select pg_backend_pid()").fetchall()[0] for each in (one, two, one, two)}
    assert len(servers) == 1
