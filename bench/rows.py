"""Owns the bare rows that SQLite peers insert: those of a template store, into an empty store of the same schema.

Standard library only: it runs in the peers' environments too.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

TABLE = "millrace_jobs"


def job_rows(template: str) -> tuple[list[tuple[Any, ...]], str]:
    """Return the job rows of a store, and the INSERT that writes one; the row number is left to the database."""
    with closing(sqlite3.connect(template)) as connection:
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({TABLE})") if name != "id"]
        listed = ", ".join(columns)
        rows = connection.execute(f"SELECT {listed} FROM {TABLE} ORDER BY id").fetchall()  # noqa: S608 # columns of our own schema
    marks = ", ".join("?" for _ in columns)
    return rows, f"INSERT INTO {TABLE} ({listed}) VALUES ({marks})"  # noqa: S608
