"""Owns the PostgreSQL server of one run: started at its first use, stopped at the end, with the server's own defaults.

Each measurement gets a database of its own, copied from a template that is filled once. The programs come from a
wheel; root lends them an account, so the data lie in the system's temporary folder and not in the home.
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql

from bench.machine import flush_milliseconds
from bench.trouble import BenchmarkError
from tests.servers.cluster import OWNER, Cluster
from tests.servers.installations import newest

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the tests' servers have otherwise: here all is as the server comes.
DEFAULTS = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_connections": "100"}
MEASURED = "measured"


class Server:
    """The running server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._templates: set[str] = set()

    def describe(self) -> dict[str, object]:
        """Return what a result must say of it."""
        flush = flush_milliseconds(self._cluster.folder)
        return {"postgres": self._cluster.installation.version, "postgres_flush_ms": round(flush, 3)}

    def url(self, database: str = MEASURED) -> str:
        """Return how clients name a database."""
        return f"postgresql://{OWNER}@127.0.0.1:{self._cluster.port}/{database}"

    def connect(self, database: str = MEASURED) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection of the benchmark's own, in autocommit."""
        return psycopg.connect(self.url(database), autocommit=True)

    def fresh(self, database: str = MEASURED, template: str = "template1") -> str:
        """Make a database anew, as a copy of another; returns its URL."""
        names = sql.Identifier(database), sql.Identifier(template)
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(names[0]))
            connection.execute(sql.SQL("create database {} template {}").format(*names))
            connection.execute("checkpoint")
        return self.url(database)

    def filled(self, template: str, fill: Callable[[str], object], database: str = MEASURED) -> str:
        """Make a database as a copy of a template, which is filled where this run has not done it; returns its URL."""
        if template not in self._templates:
            fill(self.fresh(template))
            with self.connect(template) as connection:
                connection.execute("vacuum analyze")
            self._templates.add(template)
        return self.fresh(database, template)

    def forget(self, *databases: str) -> None:
        """Drop databases that are not needed any more."""
        with self.connect("postgres") as connection:
            for name in databases:
                connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
                self._templates.discard(name)


def one(connection: psycopg.Connection[tuple[Any, ...]], statement: LiteralString) -> Any:
    """Return the one value of a statement's one row."""
    row = connection.execute(statement).fetchone()
    if row is None:
        raise BenchmarkError(f"no row: {statement}")
    return row[0]


def wal_bytes(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Return how many bytes the server has ever written to its log of changes."""
    return int(one(connection, "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


@cache
def server() -> Server:
    """Return the server of this run, started at the first call."""
    stack = ExitStack()
    atexit.register(stack.close)
    return Server(stack.enter_context(Cluster(newest(), DEFAULTS)))
