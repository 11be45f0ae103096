"""Opening the file to write: made where missing, checked, brought to the newest schema. The caller holds the gate."""

from __future__ import annotations

import os

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.stores.sqlite import files, fork
from millrace.stores.sqlite.connection import Connection, Driver, connect
from millrace.stores.sqlite.gate import Gate
from millrace.stores.sqlite.migrations import migrate
from millrace.stores.sqlite.statistics import forget_statistics
from millrace.stores.sqlite.trouble import explained, forbidden

__all__ = ["forked_open", "open_gate", "open_writer"]

TOUCH = "UPDATE {p}meta SET value=value WHERE key='schema'"


def open_gate(path: str) -> Gate:
    """Open the gate beside the file.

    Raises:
        ConfigurationError: This user may not write here.
        StoreUnavailable: It cannot be opened for another reason.
    """
    obstacle = forbidden(path)  # a gate could be made beside a file that is read-only, and would be left there
    if obstacle is not None:
        raise ConfigurationError(f"{path} cannot be written: {obstacle}")
    try:
        return Gate(path)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be used, its gate cannot be opened: {error}") from error


def open_writer(
    path: str, *, driver: Driver, synchronous: str, prefix: str, deadline: float
) -> tuple[Connection, list[str]]:
    """Open the connection that writes; return it, and what was done to the schema.

    Raises:
        StoreUnavailable: The file cannot be read or written, or is none of SQLite's.
        ConfigurationError: This user may not.
        SchemaMismatch: It is a newer Millrace's, or its tables are somebody else's.
    """
    try:
        files.create(path)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be made: {error}") from error
    writer: Connection | None = None
    try:
        writer = connect(path, driver, synchronous=synchronous, busy=deadline, writes=True)
        _refuse_inherited(writer, path)
        done = migrate(writer, prefix, path)
        _try_writing(writer, prefix)
        forget_statistics(writer, prefix)
    except BaseException as error:
        if writer is not None:
            writer.close()
        trouble = explained(error, path, deadline)
        if trouble is not None:
            raise trouble from error
        raise
    return writer, done


def forked_open(path: str) -> StoreUnavailable:
    """Say that the file was open across a fork."""
    return StoreUnavailable(
        f"{path} was open while process {os.getpid()} was forked off, and SQLite's locks do not work in such a child; "
        "start processes with 'spawn', or open the file only after the fork (close() before it)"
    )


def _refuse_inherited(writer: Connection, path: str) -> None:
    """See that a forked child's connection has real locks, and not only the memory of its parent's.

    Whoever has a file open in WAL mode has a shared lock on it. A child has none where a connection of the parent's,
    be it the program's own, was open across the fork: SQLite then takes the parent's lock for its own.
    """
    if not fork.was_forked():
        return
    writer.rows("SELECT count(*) FROM sqlite_schema")
    if not files.locks_hold(path):
        fork.immortalize(writer)
        writer.abandon()
        raise forked_open(path)


def _try_writing(writer: Connection, prefix: str) -> None:
    """Try a write and take it back: BEGIN IMMEDIATE alone succeeds on a read-only file."""
    writer.execute("BEGIN IMMEDIATE")
    try:
        writer.execute(TOUCH.replace("{p}", prefix))
    finally:
        if writer.in_transaction:
            writer.execute("ROLLBACK")
