"""Keeping the files small: the WAL cut back, free pages given back to the disk. The caller holds the gate.

SQLite checkpoints by itself inside a COMMIT; this is only for when nothing goes on.
"""

from __future__ import annotations

from millrace.stores.sqlite.connection import Connection
from millrace.stores.sqlite.files import size_of

__all__ = ["WORTH_CUTTING", "has_spare_pages", "shrink", "truncate", "wal_is_long"]

WORTH_CUTTING = 1 << 20  #: bytes of WAL from which on an idle worker cuts it back
_CHUNK = 500  # pages given back at a time: 0.05 ms each
_FEW_PAGES = 256  # free pages that are no matter, whatever their part
_PART = 5  # a fifth of the file may be free

CUT = "PRAGMA wal_checkpoint(TRUNCATE)"
FREE_PAGES = "PRAGMA freelist_count"
ALL_PAGES = "PRAGMA page_count"
AUTO_VACUUM = "PRAGMA auto_vacuum"
GIVE_BACK = f"PRAGMA incremental_vacuum({_CHUNK})"  # as a script: run as a statement it frees a single page

_INCREMENTAL = 2


def wal_is_long(path: str) -> bool:
    """Tell whether it pays to cut the WAL back."""
    return size_of(f"{path}-wal") >= WORTH_CUTTING


def truncate(connection: Connection, busy: float) -> bool:
    """Copy the WAL into the file and cut it to nothing; tell whether that went.

    Args:
        connection: The one that writes, outside a transaction.
        busy: Its usual patience in seconds. Here it has none: where a reader needs the WAL, it stays for now.
    """
    connection.rows("PRAGMA busy_timeout=0")
    try:
        ((blocked, _, _),) = connection.rows(CUT)
    finally:
        connection.rows(f"PRAGMA busy_timeout={round(busy * 1000)}")
    return not blocked


def has_spare_pages(connection: Connection) -> bool:
    """Tell whether so much of the file is free that some of it should go back to the disk, and can."""
    ((free,),) = connection.rows(FREE_PAGES)
    if free <= _FEW_PAGES:
        return False
    ((total,),) = connection.rows(ALL_PAGES)
    ((kind,),) = connection.rows(AUTO_VACUUM)  # a file that was there before us may have none
    return bool(free * _PART > total and kind == _INCREMENTAL)


def shrink(connection: Connection) -> None:
    """Give some free pages back to the disk; the file ends shorter at the next checkpoint."""
    connection.script(GIVE_BACK)
