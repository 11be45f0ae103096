"""What doctor is told: each trouble staged on a real server, and none on a sound one."""

from __future__ import annotations

import pytest
from psycopg import sql

from millrace.messages import Finding
from millrace.stores.postgres import health
from tests.servers.cluster import Cluster
from tests.servers.databases import Database
from tests.servers.installations import newest
from tests.stores.postgres.lines.conftest import Bare, Opener, until

JOBS = """insert into {s}.job (id, due, created_at, max_attempts, max_crashes, state, priority, queue, task, args)
 select gen_random_uuid(), 1, 1, 1, 1, 1, 0, 'q', 't', '' from generate_series(1, 100)"""


def told(store: Bare, subject: str) -> Finding:
    """Return what is said about one subject, the worst first."""
    found = [each for each in store.check() if each.subject == subject]
    assert found, f"nothing is said of {subject}"
    return min(found, key=lambda each: ("error", "warning", "note", "ok").index(each.level))


def test_a_sound_server_gives_no_trouble(store: Bare) -> None:
    found = store.check()
    assert [each for each in found if each.level in {"error", "warning"} and each.subject != "durability"] == []
    assert {each.subject for each in found} >= {
        "version", "durability", "connections", "clock", "transactions", "bloat", "indexes", "grants",
    }  # fmt: skip
    assert told(store, "version").text.startswith("PostgreSQL ")


def test_a_missing_index_and_one_that_is_not_valid_are_errors(store: Bare, postgres: Database) -> None:
    postgres.run("drop index {s}.job_due")
    try:
        assert told(store, "indexes") == Finding(
            "error",
            "indexes",
            f"schema {postgres.schema} lacks job_due; make them again, as `millrace migrate --sql` prints",
        )
        postgres.run("create index job_due on {s}.job (due) where state in (0, 4)")
        postgres.run("update pg_index set indisvalid = false where indexrelid = '{s}.job_due'::regclass")
        assert "job_due in schema" in told(store, "indexes").text
    finally:
        postgres.run("drop index if exists {s}.job_due")
        postgres.run("create index job_due on {s}.job (due) where state in (0, 4)")
    assert told(store, "indexes").level == "ok"


def test_a_missing_grant_is_named_with_its_table(store: Bare, postgres: Database, opened: Opener) -> None:
    postgres.run("create role millrace_reader login")
    try:
        postgres.run("grant usage on schema {s} to millrace_reader")
        postgres.run("grant select on all tables in schema {s} to millrace_reader")
        postgres.run("grant insert, update, delete on {s}.job to millrace_reader")
        url = postgres.url().replace("millrace_owner@", "millrace_reader@")
        found = [each for each in opened(url).check() if each.subject == "grants"]
        assert {each.level for each in found} == {"error"}
        assert f"this role lacks delete, insert, update on {postgres.schema}.queue; its owner grants that" in {
            each.text for each in found
        }
        assert not [each for each in found if each.text.endswith(f"{postgres.schema}.job; its owner grants that")]
    finally:
        postgres.run("drop owned by millrace_reader")
        postgres.run("drop role millrace_reader")
    assert told(store, "grants").level == "ok"


def test_a_transaction_that_is_open_for_long_is_named(
    store: Bare, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.connect() as other, other.transaction():
        other.execute("set application_name = 'report'")
        other.execute("select 1")
        monkeypatch.setattr(health, "_LONG", 0.0)
        found = told(store, "transactions")
        assert found.level == "note"
        assert "of report (idle in transaction) has been open for" in found.text
        monkeypatch.setattr(health, "_HOUR", 0.0)
        assert told(store, "transactions").level == "warning"


def test_dead_rows_beyond_the_live_ones_are_bloat(
    store: Bare, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def level_after(statement: str) -> str:
        postgres.run(statement)  # each time: sessions of earlier tests may tell late what they did, or hold a snapshot
        return told(store, "bloat").level

    monkeypatch.setattr(health, "_MANY_DEAD", 10)
    postgres.run("alter table {s}.job set (autovacuum_enabled = off)")
    try:
        postgres.run(JOBS)
        postgres.run("delete from {s}.job")
        until(lambda: level_after("analyze {s}.job") == "warning")
        assert f"then vacuum {postgres.schema}.job" in told(store, "bloat").text
        until(lambda: level_after("vacuum {s}.job") == "ok")
        monkeypatch.setattr(health, "_LARGE", -1)
        assert "to give it back, reindex" in told(store, "bloat").text
    finally:
        postgres.run("alter table {s}.job reset (autovacuum_enabled)")


def test_a_clock_that_is_apart_and_a_crowded_server_are_told(store: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(store, "clock").level == "ok"
    monkeypatch.setattr(health, "_APART", -1.0)
    assert told(store, "clock").level == "note"
    monkeypatch.setattr(health, "_CROWDED", 0.0)
    assert told(store, "connections").level == "warning"
    monkeypatch.setattr(health, "_FULL", -1.0)
    assert "queue of notices" in told(store, "notices").text


@pytest.mark.parametrize(
    ("value", "level", "said"),
    [
        ("off", "warning", "forgets the last commits"),
        ("remote_apply", "ok", "synchronous_commit is remote_apply"),
        ("on", "ok", "synchronous_commit is on"),
    ],
)
def test_what_a_crash_would_cost_is_told(cluster: Cluster, opened: Opener, value: str, level: str, said: str) -> None:
    with cluster.connect() as admin:
        admin.execute(sql.SQL("alter database postgres set synchronous_commit = {}").format(sql.Identifier(value)))
        try:
            found = told(opened(cluster.url()), "durability")
        finally:
            admin.execute("alter database postgres reset synchronous_commit")
    assert (found.level, said in found.text) == (level, True)


def test_a_server_that_does_not_flush_is_an_error(opened: Opener) -> None:
    with Cluster(newest(), {"fsync": "off"}) as careless:
        found = told(opened(careless.url()), "durability")
    assert found.level == "error"
    assert found.text.startswith("fsync is off")


def test_a_standby_is_an_error_and_how_it_follows_is_told_by_the_primary(cluster: Cluster, opened: Opener) -> None:
    primary = opened(cluster.url())
    primary.migrate()
    with cluster.standby() as standby:
        until(lambda: any(each.subject == "standbys" for each in primary.check()))
        assert "1 follow asynchronously (async)" in told(primary, "standbys").text
        assert told(opened(standby.url()), "standby").level == "error"


def test_a_server_that_is_not_there_is_an_error_and_no_exception(opened: Opener) -> None:
    (found,) = opened("postgresql://127.0.0.1:1/jobs").check()
    assert (found.level, found.subject) == ("error", "server")
