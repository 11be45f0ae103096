"""The caller's own connection: what it must be, and writing on it inside the caller's transaction.

No pragma is changed, nothing is committed and no gate is taken: the caller's transaction is the caller's. A SAVEPOINT
stands around our statements, so that one of ours that fails takes nothing of the caller's with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from millrace.errors import ConfigurationError, NotSupported, StoreUnavailable
from millrace.stores.sqlite.connection import Connection, StandardConnection

__all__ = ["on_connection"]

T = TypeVar("T")

_SAVEPOINT = "millrace_statements"


def on_connection(connection: object, path: str, body: Callable[[Connection], T]) -> T:
    """Run `body` on the caller's connection, in the caller's transaction.

    Raises:
        NotSupported: It is not a `sqlite3.Connection` of this store's file.
        ConfigurationError: It commits each statement by itself, and no transaction is open.
        StoreUnavailable: Another connection holds the file's lock for longer than this one waits.
    """
    if not isinstance(connection, sqlite3.Connection):
        raise NotSupported(
            f"{type(connection).__name__} is not a connection to the SQLite file {path}; give a sqlite3.Connection"
        )
    ours = StandardConnection(connection)
    text_factory = connection.text_factory
    connection.text_factory = str
    try:
        _check_file(ours, path)
        _begin(connection, ours)
        ours.execute("SAVEPOINT " + _SAVEPOINT)
        try:
            answer = body(ours)
        except BaseException:
            if connection.in_transaction:  # a full disk, for one, has already rolled all of it back
                ours.execute("ROLLBACK TO " + _SAVEPOINT)
                ours.execute("RELEASE " + _SAVEPOINT)
            raise
        ours.execute("RELEASE " + _SAVEPOINT)
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(
            f"{path} cannot be written on this connection: {error}. Begin the transaction with BEGIN IMMEDIATE, or give"
            " the connection a longer timeout"
        ) from error
    finally:
        connection.text_factory = text_factory
    return answer


def _check_file(connection: Connection, path: str) -> None:
    file = next((file for _, name, file in connection.rows("PRAGMA database_list") if name == "main"), "")
    # `stat` only: opening the file here would drop SQLite's locks for the whole process
    if not file or not Path(file).samefile(path):
        raise NotSupported(
            f"the connection is to {file or 'a database in memory'}, the store's file is {path};"
            " jobs and data must be in one file to be committed together"
        )


def _begin(connection: sqlite3.Connection, ours: Connection) -> None:
    """See to an open transaction. A SAVEPOINT outside of one would be committed by its own RELEASE."""
    if connection.in_transaction:
        return
    if connection.isolation_level is None:
        raise ConfigurationError(
            "the connection commits each statement by itself and no transaction is open;"
            " begin one first: connection.execute('BEGIN IMMEDIATE')"
        )
    # As sqlite3 itself would before an INSERT, but with the lock at once: a transaction that has read first may be
    # refused it later.
    ours.execute("BEGIN IMMEDIATE")
