"""The schema on its way: made at first use, upgraded step by step, refused where it is newer or somebody else's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from millrace.errors import SchemaMismatch
from millrace.messages import NewRow
from millrace.stores.sqlite import SQLiteStore, migrations
from millrace.stores.sqlite.connection import Connection, Driver, StandardConnection
from millrace.stores.sqlite.database import Database
from millrace.stores.sqlite.migrations import STEPS, VERSION, Step
from tests.stores.sqlite.files.conftest import Opener
from tests.stores.sqlite.files.rows import add_more, count_locks
from tests.stores.sqlite.files.stage import Actor

NEXT = Step(VERSION + 1, 1, "add a column", ("ALTER TABLE {p}locks ADD COLUMN note TEXT",))
AFTER = Step(VERSION + 2, VERSION + 2, "add a table", ("CREATE TABLE {p}notes(id INTEGER PRIMARY KEY) STRICT",))


@pytest.fixture
def future(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the code know two more steps."""
    _know(monkeypatch, (*STEPS, NEXT, AFTER))


def _know(monkeypatch: pytest.MonkeyPatch, steps: tuple[Step, ...]) -> None:
    monkeypatch.setattr(migrations, "STEPS", steps)
    monkeypatch.setattr(migrations.migrate, "__defaults__", (steps,))
    migrations._expected.cache_clear()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(autouse=True)
def forget_columns() -> Any:
    """What was worked out for other steps must not reach the next test."""
    yield
    migrations._expected.cache_clear()  # pyright: ignore[reportPrivateUsage]


def meta(connection: Connection) -> dict[str, str]:
    return dict(connection.rows("SELECT key, value FROM millrace_meta"))


def run(path: str, *statements: str) -> None:
    own = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        own.execute(statement)
    own.close()


def test_the_first_use_makes_everything_and_says_so_once(database: Database) -> None:
    done = database.migrate()
    assert done == [f"schema {step.version}: {step.summary}" for step in STEPS]
    assert done[0] == "schema 1: create the tables of version 1"
    assert database.migrate() == []

    found = database.read(meta)
    assert (found["schema"], found["min_reader"]) == (str(VERSION), str(max(step.min_reader for step in STEPS)))
    assert int(found["created"]) > 1_700_000_000_000_000
    assert len(found["epoch"]) == 16


def test_what_a_verb_has_made_is_still_told_by_migrate(database: Database) -> None:
    database.write(add_more)

    assert len(database.migrate()) == len(STEPS)


def test_a_second_opening_changes_nothing(path: str, opener: Opener) -> None:
    first = opener(path)
    first.migrate()
    before = first.read(meta)

    second = opener(path)

    assert second.migrate() == []
    assert second.read(meta) == before


def test_many_starters_at_once_agree(path: str, opener: Opener) -> None:
    starters = [Actor("start", path) for _ in range(4)]
    try:
        for starter in starters:
            assert starter.hear() == "ready"
        for starter in starters:
            starter.say("go")
        done = [starter.hear() for starter in starters]
        for starter in starters:
            starter.leave()
    finally:
        for starter in starters:
            starter.__exit__(None, None, None)

    assert sorted(done) == ["0", "0", "0", str(len(STEPS))]
    assert opener(path).write(add_more) == 0


@pytest.mark.usefixtures("future")
def test_a_new_file_takes_all_steps_at_once(database: Database) -> None:
    assert len(database.migrate()) == len(STEPS) + 2
    assert database.read(meta)["schema"] == str(VERSION + 2)


def test_an_older_file_is_brought_up_step_by_step(
    path: str, driver: Driver, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Database(path)
    old.write(add_more)
    old.close()
    _know(monkeypatch, (*STEPS, NEXT, AFTER))

    database = opener(path, driver=driver)

    assert database.migrate() == [f"schema {VERSION + 1}: add a column", f"schema {VERSION + 2}: add a table"]
    assert database.read(count_locks) == 1
    assert database.read(meta)["min_reader"] == str(VERSION + 2)


def test_a_step_that_fails_leaves_those_before_it_done(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener(path).open()
    broken = Step(VERSION + 2, 1, "break", ("CREATE TABLE {p}half(id INTEGER) STRICT", "NONSENSE"))
    _know(monkeypatch, (*STEPS, NEXT, broken))
    with pytest.raises(sqlite3.OperationalError, match="NONSENSE"):
        opener(path).open()
    _know(monkeypatch, (*STEPS, NEXT, AFTER))

    database = opener(path)

    assert database.migrate() == [f"schema {VERSION + 2}: add a table"]
    assert database.read(lambda c: c.rows("SELECT 1 FROM sqlite_schema WHERE name='millrace_half'")) == []


def test_older_code_goes_on_with_a_newer_schema_that_allows_it(path: str, opener: Opener) -> None:
    opener(path).open()
    run(path, "UPDATE millrace_meta SET value='7' WHERE key='schema'", "ALTER TABLE millrace_jobs ADD COLUMN more TEXT")

    old = opener(path)

    assert old.migrate() == []
    assert old.write(add_more) == 0
    assert old.read(meta)["schema"] == "7", "it must not be noted down as older than it is"


def test_a_newer_schema_that_older_code_would_harm_is_refused(path: str, driver: Driver, opener: Opener) -> None:
    opener(path).open()
    run(path, "UPDATE millrace_meta SET value='7' WHERE key IN ('schema', 'min_reader')")

    with pytest.raises(
        SchemaMismatch,
        match=rf"has schema 7, which only a Millrace of schema 7 or newer may use; this one knows {VERSION}\. Up",
    ):
        opener(path, driver=driver).open()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("CREATE TABLE millrace_jobs(id INTEGER PRIMARY KEY, title TEXT)", "already has millrace_jobs, which is not a"),
        ("CREATE VIEW millrace_tags AS SELECT 1 AS tag", "already has millrace_tags, which is not a table of Millrace"),
        (
            "CREATE TABLE millrace_meta(a TEXT)",
            "millrace_meta in {path} is not a table of Millrace, it names no schema",
        ),
        ("CREATE TABLE millrace_meta(key TEXT, value TEXT)", "millrace_meta in {path} is not a table of Millrace"),
    ],
)
def test_a_table_of_our_name_that_is_not_ours_is_refused(
    path: str, driver: Driver, opener: Opener, statement: str, sentence: str
) -> None:
    run(path, statement)

    with pytest.raises(SchemaMismatch) as caught:
        opener(path, driver=driver).open()

    assert sentence.format(path=path) in str(caught.value)
    assert "?prefix=" in str(caught.value)
    own = sqlite3.connect(path)
    assert own.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] <= 2, "nothing of ours may be made beside it"
    own.close()


def test_a_table_that_has_lost_a_column_is_refused(path: str, opener: Opener) -> None:
    opener(path).open()
    run(path, "ALTER TABLE millrace_workers DROP COLUMN info")

    with pytest.raises(
        SchemaMismatch, match=r"millrace_workers in .* is not as Millrace made it, it has no info; restore"
    ):
        opener(path).open()


def test_a_table_that_is_missing_is_refused(path: str, opener: Opener) -> None:
    opener(path).open()
    run(path, "DROP TABLE millrace_bodies")

    with pytest.raises(SchemaMismatch, match=r"millrace_bodies in .* is not as Millrace made it, it has no args, job"):
        opener(path).open()


def test_two_prefixes_live_in_one_file(path: str, opener: Opener) -> None:
    first, second = opener(path), opener(path, prefix="acme_")
    first.write(add_more)
    second.open()

    assert second.read(lambda connection: connection.rows("SELECT count(*) FROM acme_locks")) == [(0,)]
    assert first.read(count_locks) == 1


def test_every_table_is_strict_and_bears_the_prefix(database: Database) -> None:
    database.open()

    rows = database.read(lambda connection: connection.rows("SELECT name, sql FROM sqlite_schema WHERE type='table'"))

    ours = [(name, sql) for name, sql in rows if not name.startswith("sqlite_")]
    assert len(ours) == 17
    assert [name for name, sql in ours if not name.startswith("millrace_") or "STRICT" not in sql] == []


def test_opening_costs_one_transaction_and_no_write_once_all_is_made(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener(path).open()
    log = Path(f"{path}-wal")
    before = log.stat().st_size
    run_statements: list[str] = []
    real = StandardConnection.execute

    def execute(self: StandardConnection, sql: str, args: Any = ()) -> int:
        run_statements.append(sql)
        return real(self, sql, args)

    monkeypatch.setattr(StandardConnection, "execute", execute)
    opener(path).open()

    assert run_statements == ["BEGIN IMMEDIATE", run_statements[1], "ROLLBACK"]
    assert log.stat().st_size == before


def test_keys_of_a_file_of_version_1_are_held_on(path: str) -> None:
    own = sqlite3.connect(path, isolation_level=None)
    own.executescript("\n".join(migrations.to_sql("millrace_", 0, STEPS[:1])))
    own.execute("INSERT INTO millrace_lanes(id,queue,task) VALUES(1,'default','work')")
    insert = """INSERT INTO millrace_jobs(uid,lane,state,priority,due,created,max_attempts,unique_key,args)
     VALUES(?,1,?,0,0,0,5,?,x'7b7d')"""
    for number, (state, key) in enumerate([(2, "live"), (3, "runs"), (5, "ended"), (2, None)]):
        own.execute(insert, (bytes([number] * 16), state, key))
    own.close()

    store = SQLiteStore(path)
    rows = [
        NewRow(id=bytes([9, n] * 8), task="work", queue="default", args=b"[]", unique_key=key)
        for n, key in enumerate(("live", "runs", "ended"))
    ]
    held = store.insert(rows).existing
    store.close()

    assert {n: there.row.id[0] for n, there in held.items()} == {0: 0, 1: 1}


def test_what_one_step_keeps_out_stays_out_after_later_ones(
    path: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Step(VERSION + 1, VERSION + 1, "be strict", ())
    _know(monkeypatch, (*STEPS, strict, Step(VERSION + 2, 1, "add a table", AFTER.statements)))

    assert opener(path).read(meta)["min_reader"] == str(VERSION + 1)
    assert f"'min_reader', '{VERSION + 1}'" in "\n".join(migrations.to_sql("p_", VERSION + 1, migrations.STEPS))
