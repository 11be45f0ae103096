"""The way from any older schema to this one: numbered steps, forward only. Owns their order and what is refused.

Each step is one transaction with the note that it was done; the first use of a file runs all steps in one. A step only
adds (expand); what it makes needless goes in a later release (contract), so that code one version older still works.
The caller holds the gate, and what stands in the file is read again within the transaction: two starters agree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from millrace.errors import SchemaMismatch
from millrace.stores.sqlite.connection import Connection, StandardConnection
from millrace.stores.sqlite.schema import FOLLOWS, HOLDS, LIMITS, TABLES

__all__ = ["STEPS", "VERSION", "Step", "migrate", "to_sql"]


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step."""

    version: int  #: the schema that it leads to
    min_reader: int  #: the oldest code, by its own `VERSION`, that may work on the file afterwards
    summary: str
    statements: tuple[str, ...]  #: `{p}` stands for the prefix


STEPS: tuple[Step, ...] = (
    Step(
        1,
        1,
        "create the tables of version 1",
        (
            *TABLES,
            # The epoch changes with each new lane, pause and limit, and is random: whoever has cached lanes of a file
            # that stood here before must not take this one's for it.
            "INSERT INTO {p}meta(key, value) VALUES('epoch', hex(randomblob(8)))",
            "INSERT INTO {p}meta(key, value) VALUES('created', CAST(strftime('%s', 'now') * 1000000 AS TEXT))",
        ),
    ),
    # Older code would take a job that holds its key beyond its end for none, so it may not write here any more.
    Step(2, 2, "let jobs hold their unique keys for other times than their lives", HOLDS),
    Step(3, 2, "add rates and limits of keys", LIMITS),
    Step(4, 2, "let jobs wait for others", FOLLOWS),
)

VERSION = STEPS[-1].version  #: the schema that this code writes

NUMBER = "SELECT CAST(value AS INTEGER) FROM {p}meta WHERE key=?"
NOTE = "INSERT INTO {p}meta(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
# The columns of every table and view in the file, in one statement; `sqlite_schema` is small.
COLUMNS = """SELECT m.name, c.name FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c
 WHERE m.type IN ('table', 'view') AND substr(m.name, 1, ?) = ?"""


def migrate(connection: Connection, prefix: str, path: str, steps: tuple[Step, ...] = STEPS) -> list[str]:
    """Bring the file to the newest schema; return what was done, a line each.

    Raises:
        SchemaMismatch: A newer Millrace has made the file unreadable for this one, or tables of our names are
            somebody else's.
    """
    if _version(connection, prefix, path, steps) == steps[-1].version:
        _check_columns(connection, prefix, path)
        return []
    done: list[str] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, prefix, path, steps)
        fresh = version == 0
        if fresh:
            _refuse_strangers(connection, prefix, path)
        for step in steps:
            if step.version <= version:
                continue
            for statement in step.statements:
                connection.execute(statement.replace("{p}", prefix))
            for key, value in (("schema", step.version), ("min_reader", _min_reader(steps, step))):
                connection.execute(NOTE.replace("{p}", prefix), (key, str(value)))
            done.append(f"schema {step.version}: {step.summary}")
            if not fresh:
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    _check_columns(connection, prefix, path)
    return done


def _min_reader(steps: tuple[Step, ...], last: Step) -> int:
    """Return the oldest code that may work on a file after a step: what an earlier one has kept out stays out."""
    return max(step.min_reader for step in steps if step.version <= last.version)


def to_sql(prefix: str, since: int = 0, steps: tuple[Step, ...] = STEPS) -> list[str]:
    """Return the statements that lead from a version to the newest, for someone to run by hand.

    >>> to_sql("millrace_", since=VERSION)
    []
    """
    lines: list[str] = []
    for step in steps:
        if step.version <= since:
            continue
        lines += [f"-- version {step.version}: {step.summary}", "BEGIN IMMEDIATE;"]
        notes = [
            NOTE.replace("?, ?", f"'{key}', '{value}'")
            for key, value in (("schema", step.version), ("min_reader", _min_reader(steps, step)))
        ]
        lines += [f"{statement.replace('{p}', prefix)};" for statement in (*step.statements, *notes)]
        lines.append("COMMIT;")
    return lines


def _check_columns(connection: Connection, prefix: str, path: str) -> None:
    """Compare the tables of our names with what the steps make: a newer schema may have more columns, never fewer.

    Raises:
        SchemaMismatch: A table is missing, or lacks columns.
    """
    found = _columns(connection, prefix)
    for name, columns in _expected().items():
        missing = sorted(columns - found.get(prefix + name, set()))
        if missing:
            raise SchemaMismatch(
                f"{prefix}{name} in {path} is not as Millrace made it, it has no {', '.join(missing)}; restore a "
                "backup, or choose another file or ?prefix="
            )


def _refuse_strangers(connection: Connection, prefix: str, path: str) -> None:
    """Refuse a file without our `meta` that has a table or view of one of our other names."""
    strangers = sorted(_columns(connection, prefix).keys() & {prefix + name for name in _expected()})
    if strangers:
        raise SchemaMismatch(
            f"{path} already has {strangers[0]}, which is not a table of Millrace; choose another file, or other names "
            "with ?prefix="
        )


def _version(connection: Connection, prefix: str, path: str, steps: tuple[Step, ...]) -> int:
    """Return the schema of the file, 0 where it has none."""
    columns = _columns(connection, f"{prefix}meta").get(f"{prefix}meta")
    if columns is None:
        return 0
    number = NUMBER.replace("{p}", prefix)
    if not columns >= {"key", "value"} or not all(
        numbers := [connection.rows(number, (key,)) for key in ("schema", "min_reader")]
    ):
        raise SchemaMismatch(
            f"{prefix}meta in {path} is not a table of Millrace, it names no schema; choose another file, or other "
            "names with ?prefix="
        )
    version, min_reader = (rows[0][0] for rows in numbers)
    known = steps[-1].version
    if min_reader > known:
        raise SchemaMismatch(
            f"{path} has schema {version}, which only a Millrace of schema {min_reader} or newer may use; this one "
            f"knows {known}. Upgrade Millrace here, or use another file"
        )
    return int(min(version, known))


def _columns(connection: Connection, prefix: str) -> dict[str, set[str]]:
    """Return the columns of the tables and views whose names begin so."""
    found: dict[str, set[str]] = {}
    for table, column in connection.rows(COLUMNS, (len(prefix), prefix)):
        found.setdefault(table, set()).add(column)
    return found


@cache
def _expected() -> Mapping[str, set[str]]:
    """Work out our tables and columns by making them in memory, once a process: the steps are the only truth."""
    memory = StandardConnection(sqlite3.connect(":memory:", isolation_level=None))
    try:
        for step in STEPS:
            for statement in step.statements:
                memory.execute(statement.replace("{p}", ""))
        return {name: columns for name, columns in _columns(memory, "").items() if not name.startswith("sqlite_")}
    finally:
        memory.close()
