"""The way from any older schema to this one: numbered steps, forward only. Owns their order and what is refused.

A step is one transaction with the note that it was done, under a lock that all who migrate this schema take: two
starters agree. A step only adds (expand); what it makes needless goes in a later release (contract), so that code one
version older still works beside it. Whoever finds the schema as it should be takes no lock and reads one row.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from millrace.errors import ConfigurationError, SchemaMismatch
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.schema import FOLLOWS, FOLLOWS_INDEXES, LIMITS, LIMITS_INDEXES, TABLES
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.texts import SERVER_NOW, Texts, quoted

__all__ = [
    "OLDEST_SERVER",
    "STEPS",
    "VERSION",
    "Step",
    "index_names",
    "migrate",
    "prepare",
    "table_names",
    "to_sql",
    "version_of",
]

OLDEST_SERVER = 140_000  #: as the server itself counts its versions


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step."""

    version: int  #: the schema that it leads to
    min_reader: int  #: the oldest code, by its own `VERSION`, that may work on the schema afterwards
    summary: str
    statements: tuple[str, ...]  #: templates, see `texts`
    concurrently: tuple[tuple[str, str], ...] = ()
    """Indexes that are made without stopping writers, outside of any transaction: the name, and the statement."""


STEPS: tuple[Step, ...] = (
    Step(1, 1, "create the tables of version 1", TABLES),
    Step(2, 1, "add rates and limits of keys", LIMITS, LIMITS_INDEXES),
    Step(3, 1, "let jobs wait for others", FOLLOWS, FOLLOWS_INDEXES),
)

VERSION = STEPS[-1].version  #: the schema that this code writes

# One row by the primary key, backwards.
NEWEST = "select version, min_reader from {s}.migration order by version desc limit 1"
# What there is in the schema, before anything is made in it.
RELATIONS = "select relname::text from pg_class where relnamespace = to_regnamespace(%(schema)b)"
SCHEMAS = "select 1 from pg_namespace where nspname = %(name)b"
# Held to the end of the transaction: a lock of the session would stay behind on a pooler's connection.
LOCK = "select pg_advisory_xact_lock(hashtextextended('millrace ' || {name}, 0))"
NO_LIMIT = "set local statement_timeout = 0"  # two starters wait for each other, and a large table takes its time
MIGRATION = """create table {s}.migration (
  version int primary key,
  min_reader int not null,
  applied_at bigint not null
)"""
NOTE = (
    f"insert into {{s}}.migration (version, min_reader, applied_at) values ({{version}}, {{min_reader}}, {SERVER_NOW})"
)
# An index that was being made without a lock when its maker was stopped: there, and of no use.
INVALID = """select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
 where not i.indisvalid and c.relnamespace = to_regnamespace(%(schema)b)"""

_LONGEST = 6 * 3600.0  # seconds for all of a migration
_NO_TABLE = {"42P01", "3F000"}
_TABLE = re.compile(r"create (?:unlogged )?table (?:if not exists )?\{s\}\.(\w+)", re.IGNORECASE)
_INDEX = re.compile(r"create (?:unique )?index (?:if not exists )?(\w+)", re.IGNORECASE)


def version_of(connection: Connection, settings: Settings, steps: Sequence[Step] = STEPS) -> int:
    """Return the schema that is there, 0 where there is none. Reads one row and takes no lock that anyone waits for.

    Raises:
        SchemaMismatch: Only a newer Millrace may use it.
    """
    text = Texts(settings.schema).plain(NEWEST)
    try:
        rows = connection.rows(text, {})
    except psycopg.Error as error:
        if error.sqlstate in _NO_TABLE:
            return 0
        raise
    if not rows:
        return 0
    ((version, min_reader),) = rows
    known = steps[-1].version
    if min_reader > known:
        raise SchemaMismatch(
            f"schema {settings.schema!r} of {settings.url} has version {version}, which only a Millrace of version "
            f"{min_reader} or newer may use; this one knows {known}. Upgrade Millrace here, or choose another ?schema="
        )
    return int(min(version, known))


def prepare(connection: Connection, settings: Settings, steps: Sequence[Step] = STEPS) -> list[str]:
    """Make the schema where there is none; return what was done. An older one is brought up only with `?migrate=auto`.

    Else it is used as it is, one version back at most: whoever runs the database says when its tables change.

    Raises:
        SchemaMismatch: It is older than that; and as for `migrate`.
        ConfigurationError: As for `migrate`.
    """
    version, newest = version_of(connection, settings, steps), steps[-1].version
    if version == 0 or settings.migrate:
        return migrate(connection, settings, steps)
    _check_server(connection, settings)
    if version < newest - 1:
        raise SchemaMismatch(
            f"schema {settings.schema!r} of {settings.url} has version {version}, and this Millrace needs {newest - 1} "
            "or newer; run `millrace migrate`, or add ?migrate=auto to the URL"
        )
    return []


def migrate(connection: Connection, settings: Settings, steps: Sequence[Step] = STEPS) -> list[str]:
    """Bring the schema to the newest version; return what was done, a line each.

    Raises:
        SchemaMismatch: Only a newer Millrace may use it, tables of our names are somebody else's, or this role may not
            make what is missing.
        ConfigurationError: The server is too old.
    """
    _check_server(connection, settings)
    if version_of(connection, settings, steps) == steps[-1].version:
        return []
    # Others may be at it, and a large table takes its time: so long, the call's own deadline does not hold.
    connection.until = time.monotonic() + _LONGEST
    try:
        done = _migrate(connection, settings, steps)
    except psycopg.Error as error:
        if error.sqlstate != "42501":
            raise
        raise SchemaMismatch(
            f"schema {settings.schema!r} of {settings.url} is not there or not up to date, and this role may not "
            f"change that ({error.diag.message_primary}); let its owner run `millrace migrate`"
        ) from error
    return done


def _check_server(connection: Connection, settings: Settings) -> None:
    if connection.version < OLDEST_SERVER:
        raise ConfigurationError(
            f"{settings.url} is PostgreSQL {connection.version // 10_000}; Millrace needs {OLDEST_SERVER // 10_000} or "
            "newer"
        )


def _migrate(connection: Connection, settings: Settings, steps: Sequence[Step]) -> list[str]:
    texts = Texts(settings.schema)
    done: list[str] = []
    fresh = False
    for step in steps:
        with connection.transaction():
            connection.script(NO_LIMIT)
            connection.script(_lock(settings.schema))
            version = version_of_locked(connection, settings, steps)
            if step.version <= version:
                continue
            if version == 0:
                fresh = True
                _begin(connection, settings)
            for statement in (*step.statements, _note(step)):
                connection.script(texts.plain(statement))
            for _, statement in step.concurrently if fresh else ():  # nobody writes to it yet
                connection.script(texts.plain(statement.replace(" concurrently", "", 1)))
        for name, statement in () if fresh else step.concurrently:
            _make_index(connection, settings, name, texts.plain(statement))
        done.append(f"schema {settings.schema} version {step.version}: {step.summary}")
    return done


def version_of_locked(connection: Connection, settings: Settings, steps: Sequence[Step]) -> int:
    """Return the version within a transaction, which an error would end."""
    relations = _relations(connection, settings)
    return version_of(connection, settings, steps) if "migration" in relations else 0


def _begin(connection: Connection, settings: Settings) -> None:
    """Make the schema itself, unless a DBA has, and refuse one that has tables of our names."""
    strangers = sorted(_relations(connection, settings) & (table_names() | {"migration"}))
    if strangers:
        raise SchemaMismatch(
            f"schema {settings.schema!r} of {settings.url} already has {strangers[0]}, which is not one of Millrace's;"
            " choose another one with ?schema="
        )
    # Asked first: `create schema if not exists` wants the right to make one even where it is there.
    if not connection.rows(SCHEMAS, {"name": settings.schema}):
        connection.script(f"create schema {quoted(settings.schema)}")
    connection.script(Texts(settings.schema).plain(MIGRATION))


def _relations(connection: Connection, settings: Settings) -> set[str]:
    return {name for (name,) in connection.rows(RELATIONS, {"schema": quoted(settings.schema)})}


def _make_index(connection: Connection, settings: Settings, name: str, statement: str) -> None:
    """Make an index while others write; what an interrupted try has left is dropped first."""
    if name in {left for (left,) in connection.rows(INVALID, {"schema": quoted(settings.schema)})}:
        connection.script(f"drop index concurrently {quoted(settings.schema)}.{quoted(name)}")
    if name in _relations(connection, settings):
        return
    if not settings.prepare:  # behind a pooler there is no limit set, and none may be changed for the next client
        connection.script(statement)
        return
    connection.script("set statement_timeout = 0")
    try:
        connection.script(statement)
    finally:
        connection.script("reset statement_timeout")


def to_sql(schema: str, since: int = 0, steps: Sequence[Step] = STEPS) -> list[str]:
    """Return the statements that lead from a version to the newest, for someone to run by hand.

    >>> to_sql("millrace", since=VERSION)
    []
    """
    texts = Texts(schema)
    lines: list[str] = []
    for step in steps:
        if step.version <= since:
            continue
        lines += [f"-- version {step.version}: {step.summary}", "begin;", f"{_lock(schema)};"]
        if since == 0 and step is steps[0]:
            lines += [f"create schema if not exists {quoted(schema)};", f"{texts.plain(MIGRATION)};"]
        lines += [f"{texts.plain(statement)};" for statement in (*step.statements, _note(step))]
        indexes = [f"{texts.plain(statement)};" for _, statement in step.concurrently]
        if since == 0:  # nobody writes to it yet
            lines += [statement.replace(" concurrently", "", 1) for statement in indexes]
        lines.append("commit;")
        lines += indexes if since else []
    return lines


def table_names(steps: Sequence[Step] = STEPS) -> set[str]:
    """Name the tables that the steps make, but for the one of the steps themselves.

    >>> "job" in table_names()
    True
    """
    return {name for step in steps for statement in step.statements for name in _TABLE.findall(statement)}


def index_names(steps: Sequence[Step] = STEPS) -> set[str]:
    """Name the indexes that the steps make.

    >>> "job_ready" in index_names()
    True
    """
    made = {name for step in steps for statement in step.statements for name in _INDEX.findall(statement)}
    return made | {name for step in steps for name, _ in step.concurrently}


def _lock(schema: str) -> str:
    return LOCK.replace("{name}", f"'{schema}'")  # letters, digits and _ only: see `Settings`


def _note(step: Step) -> str:
    return NOTE.replace("{version}", str(step.version)).replace("{min_reader}", str(step.min_reader))
