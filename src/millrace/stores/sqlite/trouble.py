"""What went wrong, in sentences: a driver's error as one of our own, with file, fact and next step. Decides nothing."""

from __future__ import annotations

import os
from pathlib import Path

from millrace.errors import ConfigurationError, MillraceError, SchemaMismatch, StoreUnavailable
from millrace.stores.sqlite.connection import error_code
from millrace.stores.sqlite.files import companions, free_bytes, holder, whose

__all__ = ["explained", "forbidden", "is_full", "locked"]

# Primary result codes: the low byte of an extended one.
_ERROR, _PERM, _BUSY, _LOCKED, _NOMEM, _READONLY, _IOERR, _CORRUPT = 1, 3, 5, 6, 7, 8, 10, 11
_FULL, _CANTOPEN, _PROTOCOL, _NOTADB = 13, 14, 15, 26
_READONLY_DBMOVED = 8 | 4 << 8

_OTHERWISE = "the disk may be mounted read-only, or too many files may be open"
_NO_ROOM = 256 << 10  # bytes: an I/O error on a disk with less left is a full disk


def is_full(error: BaseException, path: str) -> bool:
    """Tell whether an error means that the disk is full; some come as plain I/O errors."""
    code = error_code(error)
    if code is None:
        return False
    if code & 0xFF == _FULL:
        return True
    return code & 0xFF == _IOERR and free_bytes(path) < _NO_ROOM


def locked(path: str, waited: float, by: str | None) -> StoreUnavailable:
    """Say that the file was not to be had in time."""
    return StoreUnavailable(
        f"{path} was locked for {waited:.1f} s by {by or 'another process that cannot be seen from here'}; nothing was "
        "written. Try again, see what holds it, or wait longer with ?deadline=SECONDS"
    )


def explained(error: BaseException, path: str, waited: float) -> MillraceError | None:
    """Turn a driver's error into one of ours; None where it is none that the file or its place is to blame for."""
    code = error_code(error)
    if code is None:
        return None
    if is_full(error, path):
        return StoreUnavailable(
            f"the disk of {path} is full ({free_bytes(path) >> 10} KiB left); nothing was written. Make room: all goes "
            "on by itself then"
        )
    if code == _READONLY_DBMOVED:
        return StoreUnavailable(f"{path} was moved or deleted while it was open; put it back, or start anew")
    kind = code & 0xFF
    if kind in {_BUSY, _LOCKED, _PROTOCOL}:
        return locked(path, waited, holder(f"{path}-shm"))
    if kind in {_READONLY, _PERM, _CANTOPEN}:
        return _unwritable(path, error)
    if kind == _NOTADB:
        return StoreUnavailable(f"{path} is not an SQLite database; name another file, this one was not touched")
    if kind == _CORRUPT:
        return StoreUnavailable(
            f"{path} is damaged ({error}); stop all that uses it and restore a backup, or try sqlite3's .recover"
        )
    if kind in {_IOERR, _NOMEM}:
        return StoreUnavailable(f"{path} cannot be read or written ({error}); look at the disk and its mount")
    if kind == _ERROR and "no such " in str(error):
        return SchemaMismatch(
            f"{path} has lost a table or column that Millrace made ({error}); restore a backup, or choose another file "
            "or ?prefix="
        )
    return None


def _unwritable(path: str, error: BaseException) -> MillraceError:
    obstacle = forbidden(path)
    if obstacle is not None:
        return ConfigurationError(f"{path} cannot be written: {obstacle} ({error})")
    return StoreUnavailable(f"{path} cannot be written: {_OTHERWISE} ({error})")


def forbidden(path: str) -> str | None:
    """Find what of the database this user may not write, and say so; None where nothing is in the way."""
    folder = str(Path(path).parent)
    for name in (*companions(path), folder):
        if not os.access(name, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            what = "the folder " if name == folder else ""
            return f"{what}{name} is not this user's to write ({whose(name)}); change its owner or mode"
    return None
