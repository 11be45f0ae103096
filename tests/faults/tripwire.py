"""A wire across the driver seam and the gate: it counts every boundary that a verb crosses and acts at one of them.

Boundaries lie before and after each statement on either connection, and before and after the gate is taken and left.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from millrace.stores.sqlite import hold, opening
from millrace.stores.sqlite.connection import Connection, connect
from millrace.stores.sqlite.gate import Gate

__all__ = ["GATE", "LEAVE", "Tripwire", "die", "laid"]

GATE, LEAVE = "take the gate", "leave the gate"


def die() -> None:
    """End this process at once, with nothing flushed, closed or unlocked."""
    os.kill(os.getpid(), signal.SIGKILL)


class Tripwire:
    """Counts the boundaries that one thread crosses while it is armed.

    Args:
        point: At which boundary to act: its number from 0, or the first that reads so; None only counts.
        act: What to do there.
    """

    def __init__(self, point: int | tuple[str, str] | None = None, act: Callable[[], object] = lambda: None) -> None:
        self.point = point
        self.act = act
        self.crossed: list[tuple[str, str]] = []
        self._thread: int | None = None

    def watch(self, verb: Callable[[], object]) -> object:
        """Run a verb with the wire armed, in this thread."""
        self._thread = threading.get_ident()
        try:
            return verb()
        finally:
            self._thread = None

    def cross(self, side: str, step: str) -> None:
        """Note a boundary; act where it is the one."""
        if threading.get_ident() != self._thread:
            return
        self.crossed.append((side, step))
        if self.point in (len(self.crossed) - 1, (side, step)):
            self.act()

    @property
    def committed(self) -> int:
        """The first boundary at which what the verb did is in the file."""
        return max(n for n, crossing in enumerate(self.crossed) if crossing == ("after", "COMMIT"))


class WiredConnection:
    """A connection whose statements cross the wire."""

    def __init__(self, connection: Connection, wire: Tripwire) -> None:
        self._connection = connection
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Run a statement and return its rows."""
        self._wire.cross("before", sql)
        found = self._connection.rows(sql, args)
        self._wire.cross("after", sql)
        return found

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        """Run a statement without rows."""
        self._wire.cross("before", sql)
        changed = self._connection.execute(sql, args)
        self._wire.cross("after", sql)
        return changed


@contextmanager
def laid(wire: Tripwire) -> Generator[Tripwire]:
    """Lay a wire across every connection and gate that is opened meanwhile."""
    take, leave = Gate.try_take, Gate.leave

    def wired_take(gate: Gate) -> bool:
        wire.cross("before", GATE)
        taken = take(gate)
        wire.cross("after", GATE)
        return taken

    def wired_leave(gate: Gate) -> None:
        wire.cross("before", LEAVE)
        leave(gate)
        wire.cross("after", LEAVE)

    def wired_connect(*args: Any, **options: Any) -> Any:
        return WiredConnection(connect(*args, **options), wire)

    with ExitStack() as stack:
        for module in (opening, hold):
            stack.enter_context(patch.object(module, "connect", wired_connect))
        stack.enter_context(patch.object(Gate, "try_take", wired_take))
        stack.enter_context(patch.object(Gate, "leave", wired_leave))
        yield wire
