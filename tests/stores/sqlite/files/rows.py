"""A small write and a small read for tests of the files, whatever the verbs do. Uses the table of named locks."""

from __future__ import annotations

from millrace.stores.sqlite.connection import Connection

ADD = "INSERT INTO millrace_locks(name, holder, until) VALUES(?, 1, ?)"


def add_lock(connection: Connection, name: str, now: int) -> int:
    """Write one row; return how many were written."""
    return connection.execute(ADD, (name, now))


def add_more(connection: Connection, now: int) -> int:
    """Write one more row, with a name of its own; return how many there were."""
    count = count_locks(connection)
    add_lock(connection, f"row {count:04}", now)
    return count


def count_locks(connection: Connection) -> int:
    """Count the rows."""
    ((count,),) = connection.rows("SELECT count(*) FROM millrace_locks")
    return int(count)


def lock_names(connection: Connection) -> list[str]:
    """Return the names of the rows, in order."""
    return [name for (name,) in connection.rows("SELECT name FROM millrace_locks ORDER BY name")]
