"""What waits at the bridge: an insert of a thread, an insert of an event loop, a call. Owns how each is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from millrace.messages import Existing, InsertAnswer, NewRow

if TYPE_CHECKING:
    from asyncio import Future

    from millrace.loopside import Line, LoopSide

__all__ = ["Awaited", "Call", "Queued", "Sleeper", "Told", "fill", "told_first"]

Told = int | Existing  #: when a row went in, in the store's microseconds, or what was there instead


class Sleeper:
    """An insert of a thread, which sleeps at `gate` until it is answered or has to lead.

    >>> sleeper = Sleeper(NewRow(bytes(16), "add", "default", b"{}"))
    >>> sleeper.settle(7, None)
    >>> sleeper.answer()
    7
    """

    __slots__ = ("_error", "_told", "abandoned", "gate", "leads", "row", "settled")

    def __init__(self, row: NewRow) -> None:
        self.row = row
        self.gate = threading.Lock()
        self.gate.acquire()
        self.leads = False  #: the turn is its own: it writes
        self.abandoned = False  #: its thread has gone away
        self.settled = False
        self._told: Told = 0
        self._error: Exception | None = None

    def settle(self, told: Told, error: Exception | None) -> None:
        """Answer and wake the thread."""
        self._told, self._error = told, error
        self.settled = True
        self.gate.release()

    def answer(self) -> Told:
        """Return what was told, or raise the error."""
        if self._error is not None:
            raise self._error
        return self._told


class Awaited:
    """An insert of an event loop, which awaits `future`."""

    __slots__ = ("future", "row", "side")

    def __init__(self, row: NewRow, future: Future[Told], side: LoopSide) -> None:
        self.row = row
        self.future = future
        self.side = side

    def settle(self, told: Told, error: Exception | None) -> None:
        """Answer on the loop."""
        self.side.hand_back([(self.future, told, error)])


Queued = Sleeper | Awaited


class Call:
    """A function for the store thread, awaited by an event loop."""

    __slots__ = ("_function", "_future", "_side")

    def __init__(self, function: Callable[[], Any], future: Future[Any], side: LoopSide) -> None:
        self._function = function
        self._future = future
        self._side = side

    def run(self) -> None:
        """Call the function and answer, unless nobody waits any more."""
        value, error = None, None
        if not self._future.cancelled():
            try:
                value = self._function()
            except BaseException as raised:  # noqa: BLE001 - it belongs to the task that awaits
                error = raised
        self._side.hand_back([(self._future, value, error)])

    def refuse(self, error: Exception) -> None:
        """Answer that the call was not made."""
        self._side.hand_back([(self._future, None, error)])


def fill(group: Sequence[Queued], answer: InsertAnswer) -> None:
    """Tell each of a group how its row went; every event loop is woken once."""
    now, existing = answer.now, answer.existing
    lines: dict[LoopSide, Line] = {}
    for index, each in enumerate(group):
        told = existing.get(index, now) if existing else now
        if isinstance(each, Sleeper):
            each.settle(told, None)
        elif (line := lines.get(each.side)) is not None:
            line.append((each.future, told, None))
        else:
            lines[each.side] = [(each.future, told, None)]
    for side, line in lines.items():
        side.hand_back(line)


def told_first(answer: InsertAnswer) -> Told:
    """Tell how the first row of an insert went.

    >>> told_first(InsertAnswer(5))
    5
    """
    return answer.existing[0] if answer.existing else answer.now
