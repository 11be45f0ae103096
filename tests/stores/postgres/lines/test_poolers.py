"""Behind PgBouncer in transaction mode: another server connection for each transaction, and nothing left on any."""

from __future__ import annotations

import threading

import pytest

from millrace.errors import ConfigurationError
from millrace.stores.postgres.migrations import VERSION
from millrace.stores.postgres.session import Session
from tests.servers.bouncer import Bouncer
from tests.servers.cluster import Cluster
from tests.stores.postgres.lines.conftest import Opener, ask

POOLED = {"prepare": "off", "listen": "off"}


def test_our_options_are_refused_with_what_to_add_to_the_url(bouncer: Bouncer, opened: Opener) -> None:
    with pytest.raises(ConfigurationError, match=r"add \?prepare=off&listen=off to the URL"):
        opened(bouncer.url()).migrate()


def test_a_store_works_behind_it_and_leaves_nothing_set(bouncer: Bouncer, cluster: Cluster, opened: Opener) -> None:
    store = opened(bouncer.url(**POOLED, claim_commit="off", schema="pooled"))
    assert len(store.migrate()) == VERSION
    store.begin_work(1)

    def body(session: Session) -> None:
        with session.transaction():
            session.rows("select 1 where {light}")
            session.trip([("select {now}", {}), ("select %(a)b", {"a": 1})])
        for number in range(20):
            assert session.rows("select %(a)b, {now} where {light}", {"a": number})[0][0] == number

    threads = [threading.Thread(target=store.write, args=(body,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert store.read(ask("select 1")) == 1
    assert store.beat(ask("select 1"), within=5) == 1
    for thread in threads:
        thread.join()
    left = ask("select count(*) from pg_prepared_statements")
    assert {store.write(left) for _ in range(10)} == {0}
    asked = ask("select current_setting('synchronous_commit')")
    assert {store.write(asked) for _ in range(10)} == {"on"}
    assert cluster.run("select 1 from pg_locks where locktype = 'advisory'") == []


def test_many_stores_share_few_server_connections(bouncer: Bouncer, cluster: Cluster, opened: Opener) -> None:
    stores = [opened(bouncer.url(**POOLED, schema="pooled")) for _ in range(12)]
    threads = [threading.Thread(target=store.write, args=(ask("select 1"),)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((used,),) = cluster.run(
        "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    )
    assert used <= 4
