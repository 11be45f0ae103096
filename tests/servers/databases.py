"""A schema on some server, empty for each test. Owns how it is emptied; the store under test makes its tables."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.servers.bouncer import Bouncer, bouncer_version
from tests.servers.cluster import Cluster
from tests.servers.installations import Installation, installations, newest

__all__ = ["NAMED", "Database", "Park", "names", "open_park", "pooled", "told"]

#: Names a server to test on in place of those that the tests start. Only the schema `millrace_test` there is touched.
NAMED = "MILLRACE_TEST_POSTGRES"
SCHEMA = "millrace_test"
POOLED = "pgbouncer"

TRUNCATE_EVERY = 50  # times that it is emptied, so that no table becomes slow by what was deleted
TABLES = """select tablename from pg_tables where schemaname = %s and tablename <> 'migration'"""


class Database:
    """A server and the schema on it that a test may do with as it likes.

    Args:
        server: A URL without a query.
        schema: Where the tables are.
        through: The pooler by which stores go there, as such a URL.
    """

    def __init__(self, server: str, schema: str = SCHEMA, through: str | None = None) -> None:
        self.server = server
        self.schema = schema
        self._stores = through or server
        self._told = {"prepare": "off", "listen": "off"} if through else {}
        self._emptied = 0
        # as a replica: no trigger of ours keeps a job from being deleted
        self._admin = psycopg.connect(
            server, autocommit=True, options="-c lock_timeout=20s -c session_replication_role=replica"
        )
        self.drop()

    def url(self, **options: str) -> str:
        """How a store names it."""
        given = {"schema": self.schema, **self._told, **options}
        return self._stores + "?" + "&".join(f"{name}={quote(value)}" for name, value in given.items())

    def run(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run a statement; `{s}` in it is the schema."""
        text = sql.SQL(statement).format(s=sql.Identifier(self.schema))  # pyright: ignore[reportArgumentType]
        cursor = self._admin.execute(text, args or None)
        return cursor.fetchall() if cursor.description else []

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection of the test's own, in autocommit. Whoever opens it closes it."""
        return psycopg.connect(self.server, autocommit=True)

    def empty(self) -> None:
        """Delete every row but those that tell of migrations: by `delete`, which for a few rows is the quicker way."""
        names = [name for (name,) in self._admin.execute(TABLES, [self.schema])]
        tables = [sql.Identifier(self.schema, name) for name in names]
        if not tables:
            return
        self._emptied += 1
        if self._emptied % TRUNCATE_EVERY == 0:
            self._admin.execute(sql.SQL("truncate {} cascade").format(sql.SQL(", ").join(tables)))
            return
        deletes = [
            sql.SQL("{} as (delete from {})").format(sql.Identifier(f"of_{table}"), where)
            for table, where in zip(names, tables, strict=True)
        ]
        self._admin.execute(sql.SQL("with {} select").format(sql.SQL(", ").join(deletes)))

    def drop(self) -> None:
        """Remove the schema with all that is in it."""
        self._admin.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(self.schema)))

    def close(self) -> None:
        """Let go of the server."""
        self._admin.close()


class Park:
    """The servers of one run: each is started when it is first asked for, and stopped with the run."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._databases: dict[str, Database] = {}

    def database(self, name: str) -> Database:
        """Return the schema on the server of a name, started by now."""
        if name not in self._databases:
            self._databases[name] = database = self._opened(name)
            self._stack.callback(database.close)
        return self._databases[name]

    def _opened(self, name: str) -> Database:
        if name == "named":
            return Database(os.environ[NAMED])
        start = self._stack.enter_context
        if name == POOLED:
            cluster = start(Cluster(newest()))
            return Database(cluster.url(), through=start(Bouncer(cluster)).url())
        return Database(start(Cluster(_installation(name))).url())

    def close(self) -> None:
        """Stop them all."""
        self._stack.close()


@contextmanager
def open_park() -> Generator[Park]:
    """Open the servers of a run, and stop them at its end."""
    park = Park()
    try:
        yield park
    finally:
        park.close()


def _installation(name: str) -> Installation:
    return next(each for each in installations() if each.name == name)


def pooled() -> list[str]:
    """Name the newest server behind PgBouncer, where that is there."""
    return [POOLED] if bouncer_version() else []


def names() -> list[str]:
    """Name every server that the tests of the store run on, the one that stands for all last."""
    return ["named"] if NAMED in os.environ else [each.name for each in installations()]


def told() -> str:
    """Say in a line what there is to test on."""
    servers = f"the one that {NAMED} names" if NAMED in os.environ else ", ".join(map(str, installations()))
    own = installations()[-1]
    bouncer = bouncer_version()
    beside = f"PgBouncer {bouncer}" if bouncer else "no PgBouncer, so its tests are skipped (apt-get install pgbouncer)"
    return f"PostgreSQL: {servers}; faults on {own}; {beside}"
