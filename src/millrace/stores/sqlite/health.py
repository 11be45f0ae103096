"""What `doctor` tells of an SQLite file. Looks, and changes nothing; all reading of the file goes through SQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from millrace.messages import Finding
from millrace.stores.sqlite.connection import WAL_LIMIT, Connection, Driver, library_version
from millrace.stores.sqlite.files import MOUNTS, companions, free_bytes, network_mount, size_of
from millrace.stores.sqlite.settings import Settings
from millrace.stores.sqlite.upkeep import ALL_PAGES, FREE_PAGES

__all__ = ["find_trouble"]

SOUND_SINCE = (3, 51, 3)  # older ones may lose a commit beside which another connection checkpoints

QUICK_CHECK = "PRAGMA quick_check(20)"  # every page of every table; 0.24 s for 164 MB
JOURNAL_MODE = "PRAGMA journal_mode"
SYNCHRONOUS = "PRAGMA synchronous"

_FLUSHES = ("off", "normal", "full", "extra")  # by SQLite's number for them
_PART = 5  # more than a fifth of the file free is worth a word
_MANY_PAGES = 1000
_LITTLE_ROOM = 64 << 20  # bytes
_OTHERS = 0o077  # the bits of a mode that let others in


def find_trouble(settings: Settings, connection: Connection) -> list[Finding]:
    """Look at the file, its neighbours and its place."""
    return [
        *_library(settings.driver),
        *_contents(settings.path, connection),
        *_pragmas(settings, connection),
        *_modes(settings.path),
        *_sizes(settings.path, connection),
        *_place(settings.path),
    ]


def _library(driver: Driver) -> Iterator[Finding]:
    found = library_version(driver)
    name = ".".join(map(str, found))
    if found >= SOUND_SINCE:
        yield Finding("ok", "sqlite", f"SQLite {name} by {driver}")
        return
    sound = ".".join(map(str, SOUND_SINCE))
    yield Finding(
        "warning",
        "sqlite",
        f"SQLite {name} by {driver} can lose a commit while another connection checkpoints (mended in {sound}). "
        "Millrace never does that to itself; for a newer SQLite install millrace[apsw] and add ?driver=apsw to the URL",
    )
    yield Finding(
        "note",
        "sqlite",
        "other programs that write to this file, and connections given to using(connection=…), checkpoint without our "
        "gate; let them run PRAGMA wal_autocheckpoint=0",
    )


def _contents(path: str, connection: Connection) -> Iterator[Finding]:
    lines = [line for (line,) in connection.rows(QUICK_CHECK)]
    if lines == ["ok"]:
        yield Finding("ok", "integrity", f"quick_check finds nothing wrong in {path}")
        return
    for line in lines:
        yield Finding("error", "integrity", f"{path} is damaged: {line}; restore a backup")


def _pragmas(settings: Settings, connection: Connection) -> Iterator[Finding]:
    ((mode,),) = connection.rows(JOURNAL_MODE)
    if mode == "wal":
        yield Finding("ok", "journal", "the journal is a write-ahead log")
    else:
        yield Finding("error", "journal", f"the journal mode is {mode!r}, not 'wal'; another program has changed it")
    ((number,),) = connection.rows(SYNCHRONOUS)
    flush = _FLUSHES[int(number)]
    if flush == settings.synchronous == "full":
        yield Finding("ok", "synchronous", "each commit is flushed to the disk")
    elif flush == settings.synchronous:
        yield Finding("note", "synchronous", "normal: the last commits may be lost in a power cut, as was asked for")
    else:
        yield Finding("error", "synchronous", f"synchronous is {flush}, not {settings.synchronous} as was asked for")


def _modes(path: str) -> Iterator[Finding]:
    open_to_others = False
    for name in companions(path):
        mode = Path(name).stat().st_mode & 0o777
        if mode & _OTHERS:
            open_to_others = True
            yield Finding("warning", "modes", f"{name} has mode {mode:o}, others may use it; chmod 600")
    if not open_to_others:
        yield Finding("ok", "modes", "only this user may read the file and its neighbours")


def _sizes(path: str, connection: Connection) -> Iterator[Finding]:
    wal = size_of(f"{path}-wal")
    if wal > WAL_LIMIT:
        yield Finding(
            "warning",
            "wal",
            f"the write-ahead log is {wal >> 20} MiB long; a transaction that stays open to read keeps it so",
        )
    else:
        yield Finding("ok", "wal", f"the write-ahead log is {wal >> 10} KiB long")
    ((free,),), ((total,),) = connection.rows(FREE_PAGES), connection.rows(ALL_PAGES)
    text = f"{free} of {total} pages are free"
    if free > _MANY_PAGES and free * _PART > total:
        yield Finding("note", "pages", f"{text}; an idle worker gives them back, or VACUUM does at once")
    else:
        yield Finding("ok", "pages", text)


def _place(path: str) -> Iterator[Finding]:
    room = free_bytes(path)
    if room < _LITTLE_ROOM:
        yield Finding("warning", "disk", f"only {room >> 20} MiB are left on the disk of {path}; make room")
    else:
        yield Finding("ok", "disk", f"{room >> 20} MiB are left on the disk")
    network = network_mount(os.path.realpath(path))
    if network is not None:
        kind, mount = network
        yield Finding(
            "error",
            "place",
            f"{mount} is a network file system ({kind}), where SQLite's locks do not hold; move {path}",
        )
    elif MOUNTS.exists():
        yield Finding("ok", "place", "the file is on a local file system")
    else:
        yield Finding("note", "place", "this system does not tell whether the disk is local; it must be")
