"""What ANALYZE has noted about our tables, and why it must go. Owns that one table of SQLite's, where the file has it.

We never run ANALYZE; the file's owner may, or a tool of theirs, at a time when our tables are small. By such notes the
planner walks whole tables for ever after: each statement here was written for the plan that it has without them. Notes
about the owner's tables stay.
"""

from __future__ import annotations

from millrace.stores.sqlite.connection import Connection

__all__ = ["forget_statistics"]

NOTED = "SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4')"
FORGET_1 = "DELETE FROM sqlite_stat1 WHERE substr(tbl, 1, ?) = ?"
FORGET_4 = "DELETE FROM sqlite_stat4 WHERE substr(tbl, 1, ?) = ?"
# The connection reads the schema again, and the notes with it. ANALYZE sqlite_schema reads the notes alone, and keeps
# the size of a table that has none any more.
RELOAD = "PRAGMA writable_schema=RESET"


def forget_statistics(connection: Connection, prefix: str) -> None:
    """Delete the notes about our tables, outside of a transaction; connections opened from now on plan without them."""
    noted = {name for (name,) in connection.rows(NOTED)}
    forgotten = 0
    if "sqlite_stat1" in noted:
        forgotten += connection.execute(FORGET_1, (len(prefix), prefix))
    if "sqlite_stat4" in noted:
        forgotten += connection.execute(FORGET_4, (len(prefix), prefix))
    if forgotten:
        connection.rows(RELOAD)
