"""A call ends by its deadline whatever the server or the network does; a server that has been away is found again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.stores.postgres import line
from millrace.stores.postgres.connection import Connection, connect
from millrace.stores.postgres.session import Session
from tests.servers.cluster import Cluster
from tests.servers.databases import Database
from tests.servers.proxy import Proxy
from tests.stores.postgres.lines.conftest import Bare, Opener, ask, until

ONE = ask("select 1")
SOON = 30.0  # seconds: far above what is asked for, far below what TCP would take


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A well proxy before a server of this module's own."""
    with Proxy(cluster.port) as started:
        yield started


@pytest.fixture
def near(cluster: Cluster, proxy: Proxy, opened: Opener) -> Bare:
    """A store behind the proxy, connected, in a hurry."""
    store = opened(cluster.url(port=proxy.port, deadline="0.5", read_deadline="0.5", connect_deadline="1"))
    store.migrate()
    return store


def fails(call: Callable[[], Any], said: str) -> None:
    """See that a call fails soon."""
    before = time.monotonic()
    with pytest.raises(StoreUnavailable, match=said):
        call()
    assert time.monotonic() - before < SOON


# -- silence


def test_a_write_on_a_silent_network_ends_and_its_effect_is_unknown(near: Bare, proxy: Proxy) -> None:
    proxy.turn("silent")
    fails(lambda: near.write(ONE), r"did not answer within 0\.5 s.*effect is unknown")
    proxy.turn("well")
    assert near.write(ONE) == 1


def test_a_beat_ends_by_its_own_deadline(near: Bare, proxy: Proxy) -> None:
    near.begin_work(1)
    assert near.beat(ONE, within=5) == 1
    proxy.turn("silent")
    fails(lambda: near.beat(ONE, within=0.1), r"did not answer within 0\.1 s")


def test_a_read_on_a_silent_network_ends(near: Bare, proxy: Proxy) -> None:
    near.begin_work(1)
    assert near.read(ONE) == 1
    proxy.turn("silent")
    fails(lambda: near.read(ONE), r"did not answer within 0\.5 s")


def test_connecting_to_a_silent_server_ends(cluster: Cluster, proxy: Proxy, opened: Opener) -> None:
    proxy.turn("silent")
    fails(opened(cluster.url(port=proxy.port, connect_deadline="1")).migrate, "cannot be reached: ")


def test_the_server_gives_up_first_and_says_so(near: Bare) -> None:
    fails(lambda: near.write(ask("select pg_sleep(60)::text")), "was stopped.*nothing of that was written")
    assert near.write(ONE) == 1


def test_closing_does_not_wait_for_a_silent_network_longer_than_the_deadline(near: Bare, proxy: Proxy) -> None:
    proxy.turn("silent")
    failures: list[StoreUnavailable] = []

    def call() -> None:
        try:
            near.write(ONE)
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
        session.rows("select 1")

    fails(lambda: near.write(body), "effect is unknown")
    assert runs == [False]


def test_a_body_that_may_be_repeated_is_and_learns_of_it(near: Bare, proxy: Proxy) -> None:
    runs: list[bool] = []

    def body(session: Session) -> None:
        runs.append(session.again)
        if not session.again:
            proxy.turn("cutting")
        try:
            session.rows("select 1")
        finally:
            proxy.turn("well")

    near.write(body, repeatable=True)
    assert runs == [False, True]


def test_a_connection_that_was_ended_while_idle_is_replaced_before_anything_is_sent(
    near: Bare, cluster: Cluster
) -> None:
    near.begin_work(1)
    calls: list[Callable[[], Any]] = [lambda: near.write(ONE), lambda: near.read(ONE), lambda: near.beat(ONE, within=5)]
    for call in calls:
        call()
    assert cluster.terminate_all() >= 3
    assert [call() for call in calls] == [1, 1, 1]


def test_a_body_that_is_interrupted_leaves_no_transaction_open(near: Bare, cluster: Cluster) -> None:
    def body(session: Session) -> None:
        session.execute("begin")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        near.write(body)
    until(lambda: cluster.run("select 1 from pg_stat_activity where state like 'idle in%'") == [])
    assert near.write(ONE) == 1


# -- a server that is away


def test_a_producer_waits_for_a_server_that_restarts_and_a_worker_does_not(near: Bare, cluster: Cluster) -> None:
    patient = Bare(cluster.url(deadline="60"))
    try:
        patient.write(ONE)
        near.begin_work(1)
        near.beat(ONE, within=5)
        cluster.stop("immediate")
        fails(lambda: near.beat(ONE, within=5), "cannot be reached|was lost")
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(patient.write(ONE, repeatable=True)))
        thread.start()
        cluster.start()
        thread.join()
        assert answers == [1]
    finally:
        patient.close()


def test_a_server_that_was_never_there_is_told_at_once_and_no_password_with_it(opened: Opener) -> None:
    store = opened("postgresql://ann:s3cret@127.0.0.1:1/jobs?deadline=600")
    with pytest.raises(StoreUnavailable, match=r"cannot be reached.*see that it runs") as told:
        store.write(ONE)
    assert "s3cret" not in str(told.value)
    fails(lambda: store.write(ONE), "cannot be reached")


def test_closing_ends_the_wait_for_a_server(cluster: Cluster) -> None:
    waiting = Bare(cluster.url(deadline="600"))
    waiting.write(ONE)
    failed = threading.Event()

    def call() -> None:
        try:
            waiting.write(ONE, repeatable=True)
        except StoreUnavailable:
            failed.set()

    cluster.stop("immediate")
    try:
        thread = threading.Thread(target=call)
        thread.start()
        waiting.close()
        thread.join()
    finally:
        cluster.start()
    assert failed.is_set()


def test_a_server_that_is_away_is_not_tried_by_every_call(
    cluster: Cluster, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(cluster.url())
    store.write(ONE)
    tries: list[int] = []

    def counting(*args: Any, **kwargs: Any) -> Connection:
        tries.append(1)
        return connect(*args, **kwargs)

    monkeypatch.setattr(line, "connect", counting)
    cluster.stop("immediate")
    try:
        for _ in range(200):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                store.step(lambda _: pytest.fail("it is not there"), 1)
    finally:
        cluster.start()
    assert 1 <= len(tries) < 100
    assert store.write(ONE) == 1


def test_of_several_hosts_one_that_is_there_is_taken(cluster: Cluster, opened: Opener) -> None:
    url = cluster.url(target_session_attrs="read-write").replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:")
    assert opened(url).write(ask("select inet_server_port()::bigint")) == cluster.port


# -- what the server refuses


def test_a_deadlock_is_tried_again(near: Bare, cluster: Cluster) -> None:
    near.begin_work(1)
    cluster.run("create table public.pair as select n from generate_series(1, 2) n")
    both = threading.Barrier(2)
    runs: list[int] = []

    def take(first: int, second: int) -> Callable[[Session], None]:
        met = threading.Event()

        def body(session: Session) -> None:
            runs.append(first)
            with session.transaction():
                session.execute("update public.pair set n = n where n = %(n)b", {"n": first})
                if not met.is_set():
                    met.set()
                    both.wait(10)
                session.execute("update public.pair set n = n where n = %(n)b", {"n": second})

        return body

    cluster.run("alter system set deadlock_timeout = '10ms'")
    cluster.run("select pg_reload_conf()")
    other = threading.Thread(target=near.write, args=(take(2, 1),))
    other.start()
    near.write(take(1, 2))
    other.join()
    assert sorted(runs) in ([1, 1, 2], [1, 2, 2])


def test_a_server_that_takes_no_writes_is_asked_for_anew(near: Bare) -> None:
    def body(session: Session) -> None:
        with session.transaction():
            session.execute("set transaction read only")
            session.execute("delete from {s}.queue")

    fails(lambda: near.write(body), "target_session_attrs=read-write")
    assert near.write(ONE) == 1


def test_a_table_changed_under_a_prepared_statement_is_no_error(near: Bare, cluster: Cluster) -> None:
    cluster.run("create table public.changing (a int)")
    near.write(lambda session: session.rows("select * from public.changing"))
    cluster.run("alter table public.changing add b int")
    assert near.write(lambda session: session.rows("select * from public.changing")) == []


def test_the_statements_own_fault_is_raised_as_it_is(store: Bare, postgres: Database) -> None:
    with pytest.raises(Exception, match="division by zero") as told:
        store.write(ask("select 1 / 0"))
    assert not isinstance(told.value, StoreUnavailable | ConfigurationError)
    assert postgres.schema in store.url
