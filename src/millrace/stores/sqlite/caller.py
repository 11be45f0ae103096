"""The caller's own connection: what it must be, and writing on it inside the caller's transaction.

No pragma is changed, nothing is committed and no gate is taken: the caller's transaction is the caller's. A SAVEPOINT
stands around our statements, so that one of ours that fails takes nothing of the caller's with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from millrace.connections import is_async, library_of
from millrace.errors import ConfigurationError, NotSupported, SchemaMismatch, StoreUnavailable
from millrace.stores.beneath import driver_connection, run_sync
from millrace.stores.sqlite.migrations import VERSION
from millrace.stores.sqlite.session import Session

__all__ = ["check_schema", "in_its_thread", "on_connection", "require_connection"]

T = TypeVar("T")

_SAVEPOINT = "millrace_statements"

# Takes the file's lock and changes nothing: a transaction that has only read might be refused it later. By primary key.
TOUCH = "INSERT INTO {p}meta(key, value) VALUES('schema', '0') ON CONFLICT DO NOTHING"
VERSIONS = "SELECT key, CAST(value AS INTEGER) FROM {p}meta WHERE key IN ('schema', 'min_reader')"  # likewise


def require_connection(given: object, path: str) -> sqlite3.Connection:
    """Return the connection of `sqlite3` that was given, or that lies beneath one of SQLAlchemy or Django.

    Raises:
        NotSupported: There is none.
        ConfigurationError: It is closed, another thread's, or Django's and not in a transaction.
    """
    connection: object = driver_connection(given)
    if not isinstance(connection, sqlite3.Connection):
        beneath = "" if connection is given else f" on {type(connection).__module__}"
        raise NotSupported(
            f"{type(given).__name__}{beneath} is not a connection to the SQLite file {path}; give a sqlite3.Connection,"
            " or SQLAlchemy's or Django's on top of one"
        )
    try:
        connection.cursor().close()
    except sqlite3.ProgrammingError as error:
        raise ConfigurationError(
            f"connection {connection!r} cannot be used here: {error}; give one that is open and of this thread"
        ) from error
    return connection


async def in_its_thread(given: Any, path: str, body: Callable[[Any], T]) -> T:
    """Run `body` with a connection that may be used where it runs: one that is awaited has a thread of its own.

    Raises:
        NotSupported: The connection is awaited, and is not aiosqlite's, nor SQLAlchemy's on top of one.
    """
    if not is_async(given):
        return body(given)
    awaited: Any = given
    if library_of(given) == "sqlalchemy":
        awaited = await run_sync(given, driver_connection)
    if library_of(awaited) != "aiosqlite":
        raise NotSupported(
            f"{type(given).__qualname__} is not a connection to the SQLite file {path}; give one of aiosqlite, or"
            " SQLAlchemy's on top of one"
        )
    # aiosqlite lends its thread by no public name
    if getattr(awaited, "_connection", None) is None or not getattr(awaited, "_running", True):
        raise ConfigurationError("the connection of aiosqlite is closed, or not open yet; give one that is open")
    answer: T = await awaited._execute(body, awaited._conn)  # noqa: SLF001
    return answer


def on_connection(connection: sqlite3.Connection, path: str, body: Callable[[], T]) -> T:
    """Run `body` in the caller's transaction; where none is open, begin one as `sqlite3` itself would.

    Raises:
        NotSupported: The connection is not to this file.
        ConfigurationError: It commits each statement by itself, and no transaction is open.
        StoreUnavailable: Another connection holds the file's lock for longer than this one waits.
    """
    text_factory = connection.text_factory
    connection.text_factory = str
    try:
        _check_file(connection, path)
        _begin(connection)
        connection.execute("SAVEPOINT " + _SAVEPOINT)
        try:
            answer = body()
        except BaseException:
            if connection.in_transaction:  # a full disk, for one, has already rolled all of it back
                connection.execute("ROLLBACK TO " + _SAVEPOINT)
                connection.execute("RELEASE " + _SAVEPOINT)
            raise
        connection.execute("RELEASE " + _SAVEPOINT)
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(
            f"{path} cannot be written on this connection: {error}. Begin the transaction with BEGIN IMMEDIATE, or give"
            " the connection a longer timeout"
        ) from error
    finally:
        connection.text_factory = text_factory
    return answer


def check_schema(session: Session, path: str) -> None:
    """Look whether our tables are there, on a connection that may hold the lock which opening the file would need.

    Raises:
        ConfigurationError: They are not, or not of this version yet, and cannot be made within this transaction.
        SchemaMismatch: They are of a newer version.
    """
    try:
        session.execute(TOUCH)
        versions: dict[str, int] = dict(session.rows(VERSIONS))
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        versions = {}
    if versions.get("min_reader", VERSION) > VERSION:
        raise SchemaMismatch(
            f"{path} has schema {versions['schema']}, which only a newer Millrace may use; this one knows {VERSION}."
            " Upgrade Millrace here, or use another file"
        )
    if versions.get("schema", 0) < VERSION:
        raise ConfigurationError(
            f"the tables of Millrace are not in {path} yet, or are older than schema {VERSION}, and cannot be made"
            " while your transaction is open; call migrate() before you begin it"
        )


def _check_file(connection: sqlite3.Connection, path: str) -> None:
    cursor = connection.cursor()
    cursor.row_factory = None
    file = next((file for _, name, file in cursor.execute("PRAGMA database_list").fetchall() if name == "main"), "")
    # `stat` only: opening the file here would drop SQLite's locks for the whole process
    if not file or not Path(file).exists() or not Path(file).samefile(path):
        raise NotSupported(
            f"the connection is to {file or 'a database in memory'}, the store's file is {path};"
            " jobs and data must be in one file to be committed together"
        )


def _begin(connection: sqlite3.Connection) -> None:
    """See to an open transaction. A SAVEPOINT outside of one would be committed by its own RELEASE."""
    if connection.in_transaction:
        return
    if connection.isolation_level is None:
        raise ConfigurationError(
            "the connection commits each statement by itself and no transaction is open;"
            " begin one first: connection.execute('BEGIN IMMEDIATE')"
        )
    # As sqlite3 would before an INSERT, but with the lock at once: see TOUCH.
    connection.execute("BEGIN IMMEDIATE")
