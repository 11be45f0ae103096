"""Living with others: PgBouncer, other releases, wrong clocks, long transactions, few rights, many who migrate."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from psycopg import sql

from millrace import JobState, NewJob
from millrace.errors import MillraceError, SchemaMismatch
from millrace.stores import open_store
from tests.faults.chaos import Turn
from tests.faults.company import open_company
from tests.faults.history import check
from tests.faults.postgres.conftest import Endure
from tests.servers.bouncer import Bouncer
from tests.servers.cluster import Cluster

SECONDS = 6.0
DAY = 86_400.0
PATIENCE = 30.0  # seconds: bounds a failure, measures nothing
STARTERS = 6


def in_schema(cluster: Cluster, schema: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement of which `{s}` is the schema."""
    with cluster.connect() as connection:
        cursor = connection.execute(sql.SQL(statement).format(s=sql.Identifier(schema)))  # pyright: ignore[reportArgumentType]
        return cursor.fetchall() if cursor.description else []


@pytest.mark.timeout(120)
def test_workers_live_behind_pgbouncer(bouncer: Bouncer, schema: str, endure: Endure) -> None:
    """Three workers, a consumer and a producer share four connections, each transaction on whichever is free."""
    report = endure(bouncer.url(schema=schema, prepare="off", listen="off"), seconds=SECONDS, pauses=1.0)
    assert report.rescues, "void: no lease had to be rescued"


@pytest.mark.timeout(120)
def test_clocks_that_are_a_day_apart_matter_to_nobody(cluster: Cluster, schema: str, tmp_path: Path) -> None:
    """Only the server's clock counts: no lease is taken back early, and a delay is as long as it was asked for."""
    with open_company(tmp_path, cluster.url(schema=schema)) as company:
        workers = [company.hire(concurrency=8, skew=skew) for skew in (DAY, -DAY)]
        asked = time.monotonic_ns()
        company.app.enqueue_many([NewJob("work", {"seconds": 1.6}) for _ in range(8)])
        delayed = company.app.enqueue_many([NewJob("work", {"seconds": 0.0}, delay=2.0) for _ in range(8)])
        company.enqueue(200, seconds=0.01)
        company.wait_until_quiet()
        for worker in workers:
            worker.dismiss()
        events, rows = company.events(), company.rows()
    report = check(events, rows)
    assert report.violations == []
    assert report.rescues == 0, "a lease was taken back while its worker was well"
    assert Counter(row.state for row in rows) == {JobState.COMPLETED: 216}
    late = {job.id.hex for job in delayed}
    begun = {event["job"]: (event["t"] - asked) / 1e9 for event in events if event["e"] == "began"}
    assert all(begun[job] >= 2.0 for job in late), "a delayed job ran early"
    assert len({event["worker"] for event in events if event["e"] == "claimed"}) == 2, "void: one did all the work"


@pytest.mark.timeout(120)
def test_a_transaction_left_open_holds_nothing_up(cluster: Cluster, schema: str, endure: Endure) -> None:
    """One holds a snapshot and a job that is not committed; the jobs of others come and go all the while."""
    opened: list[psycopg.Connection[tuple[object, ...]]] = []
    ended: list[int] = []  # jobs, when it was opened and before it was rolled back

    def count_ended() -> None:
        count = sql.SQL("select count(*) from {} where state >= 5").format(sql.Identifier(schema, "job"))
        with psycopg.connect(cluster.url()) as connection:
            ((number,),) = connection.execute(count).fetchall()
        ended.append(int(number))

    def leave_open() -> None:
        if opened:
            return
        count_ended()
        connection = psycopg.connect(cluster.url())
        opened.append(connection)
        hold = sql.SQL("update {j} set rev = rev where id = (select max(id::text)::uuid from {j})").format(
            j=sql.Identifier(schema, "job")
        )
        while True:
            connection.execute("set transaction isolation level repeatable read")
            try:
                connection.execute(hold)
            except psycopg.errors.SerializationFailure:  # a worker has just changed it
                connection.rollback()
            else:
                return

    def roll_back() -> None:
        count_ended()
        for connection in opened:
            connection.rollback()
            connection.close()

    endure(cluster.url(schema=schema), seconds=SECONDS, pauses=0, strikes=[Turn(leave_open, 0.5, 0.6)], heal=roll_back)
    assert opened
    before, after = ended
    assert after - before >= 20, f"hardly a job has ended beside the open transaction: {before} and {after}"


@pytest.mark.timeout(120)
def test_two_releases_live_on_one_schema(cluster: Cluster, schema: str, tmp_path: Path) -> None:
    """The next release adds a column while this one's statements are prepared; then it shuts this one out."""
    url = cluster.url(schema=schema)
    with open_company(tmp_path, url) as company:
        before = company.hire(concurrency=8)
        company.enqueue(300, seconds=0.02)
        company.wait_for_state(JobState.COMPLETED, 300)
        in_schema(cluster, schema, "alter table {s}.job add column of_the_next_release text")
        in_schema(
            cluster,
            schema,
            "insert into {s}.migration (version, min_reader, applied_at)"
            " select max(version) + 1, max(min_reader), max(applied_at) from {s}.migration",
        )
        after = company.hire(concurrency=8)
        company.enqueue(300, seconds=0.02)
        company.wait_for_state(JobState.COMPLETED, 600)
        for worker in (before, after):
            worker.dismiss()
        events, rows = company.events(), company.rows()
    assert check(events, rows).violations == []
    assert {row.attempt for row in rows} == {1}, "a job was tried twice: the change has cost something"

    in_schema(cluster, schema, "update {s}.migration set min_reader = version")
    with closing(open_store(url)) as store, pytest.raises(SchemaMismatch, match=r"\d+.*\d+"):
        store.depth()


def test_many_who_migrate_at_once_make_one_schema(cluster: Cluster, schema: str) -> None:
    meet = Barrier(STARTERS, timeout=PATIENCE)

    def start(_: int) -> list[str]:
        with closing(open_store(cluster.url(schema=schema))) as store:
            meet.wait()
            return store.migrate()

    with ThreadPoolExecutor(STARTERS) as pool:
        done = list(pool.map(start, range(STARTERS)))
    assert sum(bool(lines) for lines in done) == 1, "one has done it, the others had nothing to do"
    versions = in_schema(cluster, schema, "select version from {s}.migration order by version")
    assert len(versions) == len(set(versions)) > 0


# -- a role that owns nothing


@pytest.fixture
def clerk(cluster: Cluster, schema: str) -> str:
    """A role without any rights of its own, and the tables that the owner has made."""
    role = f"clerk_of_{schema}"
    with cluster.connect() as connection:
        connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
    with closing(open_store(cluster.url(schema=schema))) as store:
        store.migrate()
    return role


#: As the documentation lists them.
GRANTS = (
    "grant usage on schema {s} to {role}",
    "grant select, insert, update, delete on all tables in schema {s} to {role}",
    "grant usage on all sequences in schema {s} to {role}",
)


def grant(cluster: Cluster, schema: str, role: str, texts: tuple[str, ...] = GRANTS) -> None:
    with cluster.connect() as connection:
        for text in texts:
            names = {"s": sql.Identifier(schema), "role": sql.Identifier(role)}
            connection.execute(sql.SQL(text).format(**names))  # pyright: ignore[reportArgumentType]


@pytest.mark.timeout(120)
def test_a_role_that_owns_nothing_works_with_the_documented_grants(
    cluster: Cluster, schema: str, clerk: str, endure: Endure
) -> None:
    grant(cluster, schema, clerk)
    endure(cluster.url(schema=schema, user=clerk), seconds=3.0, pauses=0)
    with closing(open_store(cluster.url(schema=schema, user=clerk))) as store:
        assert store.migrate() == [], "a schema that is as it should be asks for no right to change it"


@pytest.mark.parametrize("missing", ["usage", "tables"])
def test_a_grant_that_is_missing_is_told(cluster: Cluster, schema: str, clerk: str, missing: str) -> None:
    grant(cluster, schema, clerk, tuple(each for each in GRANTS if missing not in each))
    with (
        closing(open_store(cluster.url(schema=schema, user=clerk))) as store,
        pytest.raises(MillraceError, match="permission denied"),
    ):
        store.depth()
