"""The schema: made once however many start, never by a role that may not, never over what is somebody else's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace as replace_row

from millrace.errors import ConfigurationError, SchemaMismatch
from millrace.job import HELD
from millrace.messages import ClaimRequest, NewRow, QueueSettings
from millrace.options import Hold, JobOptions
from millrace.outcome import Outcome
from millrace.stores.postgres import migrations
from millrace.stores.postgres.connection import Connection, connect
from millrace.stores.postgres.migrations import (
    STEPS,
    VERSION,
    Step,
    index_names,
    migrate,
    prepare,
    table_names,
    to_sql,
    version_of,
)
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.store import PostgresStore
from millrace.stores.postgres.url import read_url
from tests.servers.databases import Database
from tests.stores.postgres.lines.conftest import Opener, ask

SCHEMA = "millrace_fresh"
ROLE = "millrace_app"
SHAPE = """select table_name::text, column_name::text, data_type::text, is_nullable::text
 from information_schema.columns where table_schema = %s order by 1, 2"""

NEXT, AFTER = VERSION + 1, VERSION + 2
MORE = Step(NEXT, 1, "add a column", ("alter table {s}.queue add column colour text",))
FASTER = Step(
    AFTER, AFTER, "index it", (), (("queue_colour", "create index concurrently queue_colour on {s}.queue (colour)"),)
)


@pytest.fixture
def fresh(postgres: Database) -> Iterator[Database]:
    """A schema that is not there, on the server that stands for all."""

    class Fresh(Database):
        def __init__(self) -> None:
            super().__init__(postgres.server, SCHEMA)

    database = Fresh()
    yield database
    database.drop()
    database.close()


@pytest.fixture
def settings(fresh: Database) -> Settings:
    return read_url(fresh.url())


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    opened = connect(settings)
    yield opened
    opened.close()


@pytest.fixture
def role(fresh: Database) -> Iterator[str]:
    """A role that owns nothing and may connect."""
    fresh.run(f"create role {ROLE} login")
    yield fresh.url().replace("://", f"://{ROLE}@").replace(f"{ROLE}@millrace_owner", ROLE)
    fresh.run(f"drop owned by {ROLE}")
    fresh.run(f"drop role {ROLE}")


def test_an_older_schema_is_used_as_it_is_one_version_back_until_somebody_migrates(
    settings: Settings, connection: Connection
) -> None:
    migrate(connection, settings)
    assert prepare(connection, settings, (*STEPS, MORE)) == []
    assert version_of(connection, settings) == VERSION
    with pytest.raises(
        SchemaMismatch, match=rf"has version {VERSION}, and this Millrace needs {NEXT} or newer; run `m"
    ):
        prepare(connection, settings, (*STEPS, MORE, FASTER))
    auto = replace(settings, migrate=True)
    assert len(prepare(connection, auto, (*STEPS, MORE))) == 1
    assert prepare(connection, settings, (*STEPS, MORE, replace(FASTER, min_reader=1))) == []


def test_to_migrate_by_hand_needs_no_schema_that_could_be_used(
    fresh: Database, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(opened(fresh.url()).migrate()) == len(STEPS)
    monkeypatch.setattr(prepare, "__defaults__", ((*STEPS, MORE, FASTER),))
    monkeypatch.setattr(migrate, "__defaults__", ((*STEPS, MORE, FASTER),))
    later = opened(fresh.url())
    with pytest.raises(SchemaMismatch, match="run `millrace migrate`"):
        later.read(ask("select 1"))
    assert len(later.migrate()) == 2
    assert later.read(ask("select 1")) == 1


def shape(database: Database, schema: str = SCHEMA) -> list[tuple[Any, ...]]:
    """Read which tables of ours there are, and their columns."""
    ours = table_names() | {"migration", "job_view"}
    return [row for row in database.run(SHAPE, schema) if row[0] in ours]


def test_the_first_use_makes_the_schema_and_says_so_once(fresh: Database, opened: Opener) -> None:
    store = opened(fresh.url())
    store.read(ask("select 1"))
    assert store.migrate() == [f"schema {SCHEMA} version {step.version}: {step.summary}" for step in STEPS]
    assert store.migrate() == []
    assert opened(fresh.url()).migrate() == []
    assert fresh.run("select version, min_reader, applied_at > 0 from {s}.migration order by 1") == [
        (step.version, step.min_reader, True) for step in STEPS
    ]


def test_many_starters_make_it_once(fresh: Database) -> None:
    settings, done = read_url(fresh.url()), list[str]()
    connections = [connect(settings) for _ in range(6)]

    def start(each: Connection) -> None:
        done.extend(migrate(each, settings))

    threads = [threading.Thread(target=start, args=(each,)) for each in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in connections:
        each.close()
    assert len(done) == len(STEPS)
    assert fresh.run("select count(*) from {s}.migration") == [(len(STEPS),)]


def test_what_fits_is_found_without_a_lock(connection: Connection, settings: Settings, fresh: Database) -> None:
    migrate(connection, settings)
    with fresh.connect() as other, other.transaction():
        other.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", ["millrace " + SCHEMA])
        assert migrate(connection, settings) == []


def test_steps_build_on_each_other(connection: Connection, settings: Settings, fresh: Database) -> None:
    migrate(connection, settings)
    assert migrate(connection, settings, (*STEPS, MORE, FASTER)) == [
        f"schema {SCHEMA} version {NEXT}: add a column",
        f"schema {SCHEMA} version {AFTER}: index it",
    ]
    assert fresh.run("select version, min_reader from {s}.migration order by 1") == [
        *((step.version, step.min_reader) for step in STEPS), (NEXT, 1), (AFTER, AFTER),
    ]  # fmt: skip


def test_a_step_that_fails_leaves_nothing_of_itself(
    connection: Connection, settings: Settings, fresh: Database
) -> None:
    broken = replace(MORE, statements=(*MORE.statements, "create table {s}.queue ()"))
    with pytest.raises(psycopg.errors.DuplicateTable):
        migrate(connection, settings, (*STEPS, broken))
    assert fresh.run("select max(version) from {s}.migration") == [(VERSION,)]
    assert "colour" not in {column for _, column, _, _ in shape(fresh)}
    assert migrate(connection, settings, (*STEPS, MORE)) == [f"schema {SCHEMA} version {NEXT}: add a column"]


def test_an_index_that_was_left_half_made_is_made_anew(
    connection: Connection, settings: Settings, fresh: Database
) -> None:
    migrate(connection, settings, (*STEPS, MORE))
    fresh.run("create index queue_colour on {s}.queue (name)")
    fresh.run("update pg_index set indisvalid = false where indexrelid = '{s}.queue_colour'::regclass")
    migrate(connection, settings, (*STEPS, MORE, FASTER))
    ((made,),) = fresh.run(
        "select indexdef from pg_indexes where schemaname = %s and indexname = 'queue_colour'", SCHEMA
    )
    assert made.endswith("(colour)")
    assert fresh.run("select indisvalid from pg_index where indexrelid = '{s}.queue_colour'::regclass") == [(True,)]


def test_an_index_that_is_there_already_is_left(connection: Connection, settings: Settings, fresh: Database) -> None:
    migrate(connection, settings, (*STEPS, MORE))
    fresh.run("create index queue_colour on {s}.queue (colour)")
    assert len(migrate(connection, settings, (*STEPS, MORE, FASTER))) == 1


def test_a_migration_may_take_longer_than_any_call(
    opened: Opener, fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits here: in the midst of it the server and the watchdog tell how long it may take."""
    limit = "select current_setting('statement_timeout')"
    more = (("slow_more", f"insert into {{s}}.slow {limit}"),)
    slow = Step(NEXT, 1, "take long", (f"create table {{s}}.slow as {limit}",), more)
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, slow))
    monkeypatch.setattr(migrations.migrate, "__defaults__", ((*STEPS, slow),))
    left: list[float] = []
    script = Connection.script

    def watched(connection: Connection, text: str) -> None:
        if limit in text:
            left.append(connection.until - time.monotonic())
        script(connection, text)

    monkeypatch.setattr(Connection, "script", watched)
    store = opened(fresh.url(deadline="10"))

    assert len(store.migrate()) == len(STEPS) + 1
    assert fresh.run("select * from {s}.slow") == [("0",), ("0",)], "without limit"
    assert [round(seconds / 3600) for seconds in left] == [6, 6]
    assert store.write(ask(limit)) == "9s", "the limit of calls is there again"


# -- versions side by side


def test_a_newer_schema_that_this_code_may_still_use_is_used(
    connection: Connection, settings: Settings, opened: Opener, fresh: Database
) -> None:
    migrate(connection, settings, (*STEPS, MORE))
    assert version_of(connection, settings) == VERSION
    store = opened(fresh.url())
    assert store.migrate() == []
    assert store.write(ask("select 1")) == 1


def test_a_newer_schema_that_it_may_not_use_is_refused_with_both_numbers(
    connection: Connection, settings: Settings, opened: Opener, fresh: Database
) -> None:
    migrate(connection, settings, (*STEPS, MORE, FASTER))
    with pytest.raises(
        SchemaMismatch, match=rf"has version {AFTER}, .*version {AFTER} or newer may use; this one knows {VERSION}"
    ):
        opened(fresh.url()).write(ask("select 1"))


def test_a_store_that_runs_while_the_schema_is_brought_on_goes_on(
    connection: Connection, settings: Settings, opened: Opener, fresh: Database
) -> None:
    store = opened(fresh.url())
    insert = "insert into {s}.queue (name) values (%(name)b) returning name"
    assert store.write(ask(insert, name="a")) == "a"
    migrate(connection, settings, (*STEPS, MORE))
    assert store.write(ask(insert, name="b")) == "b"


def test_what_is_new_is_used_on_the_schema_of_the_version_before_but_for_jobs_that_wait_for_others(
    connection: Connection, settings: Settings, fresh: Database
) -> None:
    migrate(connection, settings, STEPS[:-1])
    with closing(PostgresStore(fresh.url())) as store:
        row = NewRow(bytes(15) + b"1", "work", "mail", b"{}")
        assert store.insert([row]).existing == {}
        store.set_queue("mail", QueueSettings(priority=3, concurrency=2))
        assert [(each.name, each.priority, each.concurrency) for each in store.queues()] == [("mail", 3, 2)]
        assert [job.row.group for job in store.export(limit=5)[0]] == [None]
        (claimed,) = store.step(1, (), [ClaimRequest(5)]).claimed
        assert not store.step(1, [Outcome.completed(claimed, None, retention=None)], ()).lost
        assert (store.settle(), store.open_parents([row.id]), store.followers([row.id])) == (0, [()], [()])
        hold = JobOptions(after=Hold((row.id.hex(),))).encode()
        with pytest.raises(SchemaMismatch, match="run `millrace migrate`"):
            store.hold([replace_row(row, id=bytes(15) + b"2", due=HELD, options=hold)])


# -- what is refused


def test_tables_of_our_names_that_are_somebody_elses_are_left_alone(opened: Opener, fresh: Database) -> None:
    fresh.run("create schema {s}")
    fresh.run("create table {s}.job (a int)")
    with pytest.raises(SchemaMismatch, match="already has job"):
        opened(fresh.url()).write(ask("select 1"))
    assert [column for _, column, _, _ in shape(fresh)] == ["a"]


def test_other_tables_in_the_schema_are_no_trouble(opened: Opener, fresh: Database) -> None:
    fresh.run("create schema {s}")
    fresh.run("create table {s}.invoice (a int)")
    assert len(opened(fresh.url()).migrate()) == len(STEPS)


def test_a_table_that_is_gone_is_told_as_what_it_is(opened: Opener, fresh: Database) -> None:
    store = opened(fresh.url())
    store.migrate()
    fresh.run("drop table {s}.queue")
    with pytest.raises(SchemaMismatch, match=r"queue\" does not exist.*restore a backup"):
        store.write(ask("select name from {s}.queue"))


def test_a_server_that_is_too_old_is_refused(
    connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "version", 130_021)
    with pytest.raises(ConfigurationError, match="is PostgreSQL 13; Millrace needs 14 or newer"):
        migrate(connection, settings)


# -- roles


def test_a_role_that_may_not_make_the_schema_is_told_who_can(opened: Opener, fresh: Database, role: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"may not change that.*let its owner run `millrace migrate`"):
        opened(role).write(ask("select 1"))
    assert shape(fresh) == []


def test_a_role_may_make_the_tables_in_a_schema_that_was_made_for_it(
    opened: Opener, fresh: Database, role: str
) -> None:
    fresh.run(f"create schema {{s}} authorization {ROLE}")
    assert len(opened(role).migrate()) == len(STEPS)


def test_a_role_works_with_the_documented_grants_and_no_more(opened: Opener, fresh: Database, role: str) -> None:
    opened(fresh.url()).migrate()
    store = opened(role)
    insert = ask("insert into {s}.queue (name) values (%(name)b) returning name", name="a")
    with pytest.raises(ConfigurationError, match=r"permission denied.*Grants"):
        store.write(insert)
    fresh.run(f"grant usage on schema {{s}} to {ROLE}")
    fresh.run(f"grant select, insert, update, delete on all tables in schema {{s}} to {ROLE}")
    assert store.write(insert) == "a"
    log = "insert into {s}.log (job, claim, attempt, at, level, message) values (gen_random_uuid(), 1, 1, 1, 1, '') "
    assert store.write(ask(log + "returning claim")) == 1


# -- the script


def test_the_script_makes_the_same_schema(opened: Opener, fresh: Database, postgres: Database) -> None:
    opened(postgres.url()).migrate()
    script = opened(fresh.url()).script()
    assert shape(fresh) == []
    fresh.run("\n".join(script).replace("{", "{{").replace("}", "}}"))
    assert shape(fresh) == shape(postgres, postgres.schema) != []
    assert opened(fresh.url()).migrate() == []


def test_the_script_begins_each_version_with_its_name_and_ends_each_statement(fresh: Database) -> None:
    steps = (*STEPS, MORE, FASTER)
    lines = to_sql("jobs", steps=steps)
    assert [line for line in lines if line.startswith("--")] == [
        f"-- version {step.version}: {step.summary}" for step in steps
    ]
    assert all(line.startswith("--") or line.endswith(";") for line in lines)
    assert to_sql("jobs", since=AFTER, steps=steps) == []
    later = to_sql("jobs", since=VERSION, steps=steps)
    assert later[0] == f"-- version {NEXT}: add a column"
    assert later[-2:] == ["commit;", 'create index concurrently queue_colour on "jobs".queue (colour);']
    assert not any("create schema" in line for line in later)
    assert fresh.schema == SCHEMA


def test_the_names_of_tables_and_indexes_are_those_that_are_made(
    connection: Connection, settings: Settings, fresh: Database
) -> None:
    migrate(connection, settings)

    def names(kind: str) -> set[str]:
        relations = "select relname::text from pg_class where relnamespace = '{s}'::regnamespace and relkind = %s"
        return {name for (name,) in fresh.run(relations, kind)}

    assert names("r") == table_names() | {"migration"}
    assert index_names() == {name for name in names("i") if not name.endswith("_pkey")}
