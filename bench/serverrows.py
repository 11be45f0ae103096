"""Owns the bare inserts into PostgreSQL: the job rows of a template database, into an empty one of the same schema."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

TABLE = sql.Identifier("millrace", "job")
COLUMNS = """
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = 'millrace.job'::regclass and attnum > 0 and not attisdropped and attidentity = '' order by attnum
"""


class Rows:
    """The rows of a template in the database's own text, and the columns they are of, with their types."""

    def __init__(self, template: str) -> None:
        with psycopg.connect(template) as connection:
            columns = connection.execute(COLUMNS).fetchall()
            self.columns = sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)
            self.types = [sql.SQL(type) for _, type in columns]  # as the server itself spells them
            texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name, _ in columns)
            self.rows: list[tuple[Any, ...]] = connection.execute(
                sql.SQL("select {} from {}").format(texts, TABLE)
            ).fetchall()

    def copy_into(self, connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
        """Insert rows by one COPY."""
        statement = sql.SQL("copy {} ({}) from stdin").format(TABLE, self.columns)
        with connection.transaction(), connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def unnest_into(self, connection: psycopg.Connection[Any], columns: list[list[Any]]) -> None:
        """Insert rows by one INSERT from an array a column, each value cast from its text in the statement."""
        places = [sql.Identifier(f"u{place}") for place in range(len(self.types))]
        casts = sql.SQL(", ").join(
            sql.SQL("cast({} as {})").format(place, type) for place, type in zip(places, self.types, strict=True)
        )
        names = sql.SQL(", ").join(places)
        arrays = sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in self.types)
        statement = sql.SQL("insert into {} ({}) select {} from unnest({}) u({})").format(
            TABLE, self.columns, casts, arrays, names
        )
        connection.execute(statement, columns)


def copied(template: str, url: str) -> dict[str, float]:
    """Insert a template's rows by COPY; returns the rate."""
    template_rows = Rows(template)
    first, *others = template_rows.rows
    return timed(template_rows.copy_into, [first], others, url, len(others))


def unnested(template: str, url: str) -> dict[str, float]:
    """Insert a template's rows from arrays; returns the rate."""
    template_rows = Rows(template)
    first, *others = template_rows.rows
    return timed(template_rows.unnest_into, columns([first]), columns(others), url, len(others))


def columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the values column by column."""
    return [list(column) for column in zip(*rows, strict=True)]


def timed(
    insert: Callable[[psycopg.Connection[Any], Any], None], warm: Any, rest: Any, url: str, count: int
) -> dict[str, float]:
    """Insert one row to warm up, then the others at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        insert(connection, warm)
        started = time.perf_counter()
        insert(connection, rest)
        return {"rate": count / (time.perf_counter() - started)}
