"""What happens to open databases when the process forks. Owns the hooks and the list of databases; knows no SQL.

A child inherits SQLite's own memory of which locks this process holds, and not one of the locks: a connection that the
child opens to the same file then believes in locks that are only the parent's, and the file is damaged sooner or later
(seen: not a single lock in the kernel's table for such a connection). So nothing of SQLite may be open across a fork:

- Before it, every database is brought to rest: no write and no read under way, all connections closed, under the gate.
- After it, parent and child open the file anew when they next need it.
- Where rest cannot be had in time, or a fork went past these hooks, the child refuses to work on the file.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import Protocol

__all__ = ["PATIENCE", "Forkable", "immortalize", "note_fork", "register", "was_forked"]

PATIENCE = 2.0  #: seconds that a fork waits for databases to come to rest


class Forkable(Protocol):
    """A database, as far as forks go."""

    def rest(self, until: float) -> None:
        """Come to rest before a fork, until a time of `time.monotonic()` at the latest; never raises."""
        ...

    def resume(self) -> None:
        """Go on in the parent."""
        ...

    def disown(self) -> None:
        """Leave all that is the parent's alone, in the child."""
        ...


_databases: dict[int, weakref.ref[Forkable]] = {}
_resting: list[Forkable] = []
_forking = threading.Lock()  # held from before to after a fork: one at a time
_number = 0
_forked = False


def register(database: Forkable) -> None:
    """See to a database from now on, for as long as it lives."""
    global _number  # noqa: PLW0603 - one list a process, as there is one set of hooks
    _number += 1
    number = _number
    _databases[number] = weakref.ref(database, lambda _: _databases.pop(number, None))


def was_forked() -> bool:
    """Tell whether this process has come from a fork of one that had loaded this module."""
    return _forked


def note_fork() -> None:
    """Remember that this process is a forked child: the hooks were passed by."""
    global _forked  # noqa: PLW0603
    _forked = True


def immortalize(thing: object) -> None:
    """Keep an object for ever: its end in a child would end what the parent still uses."""
    import ctypes  # 7 ms, and hardly ever needed

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before() -> None:
    _forking.acquire()
    until = time.monotonic() + PATIENCE
    for reference in list(_databases.values()):  # by age, so that two threads that fork never wait for each other
        database = reference()
        if database is not None:
            _resting.append(database)
            with contextlib.suppress(Exception):
                database.rest(until)


def _after_in_parent() -> None:
    while _resting:
        _resting.pop().resume()
    _forking.release()


def _after_in_child() -> None:
    global _forking  # noqa: PLW0603
    note_fork()
    _resting.clear()
    _forking = threading.Lock()
    for reference in list(_databases.values()):
        database = reference()
        if database is not None:
            with contextlib.suppress(Exception):
                database.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
