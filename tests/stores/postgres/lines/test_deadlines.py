"""What a PostgreSQL server may do to a call, and what the next one finds; beside what all stores on one do alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.stores.postgres.session import Session
from tests.servers.cluster import Cluster
from tests.servers.databases import Database
from tests.servers.proxy import Proxy
from tests.stores.lines.calls import fails
from tests.stores.postgres.lines.conftest import Bare, Opener, ask, until

ONE = ask("select 1")


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


# -- silence


def test_connecting_to_a_silent_server_ends(cluster: Cluster, proxy: Proxy, opened: Opener) -> None:
    proxy.turn("silent")
    fails(opened(cluster.url(port=proxy.port, connect_deadline="1")).migrate, "cannot be reached: ")


def test_the_server_gives_up_first_and_says_so(near: Bare) -> None:
    fails(lambda: near.write(ask("select pg_sleep(60)::text")), "was stopped.*nothing of that was written")
    assert near.write(ONE) == 1


# -- lost connections


def test_a_body_that_is_interrupted_leaves_no_transaction_open(near: Bare, cluster: Cluster) -> None:
    def body(session: Session) -> None:
        session.execute("begin")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        near.write(body)
    until(lambda: cluster.run("select 1 from pg_stat_activity where state like 'idle in%'") == [])
    assert near.write(ONE) == 1


# -- a server that is away


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
