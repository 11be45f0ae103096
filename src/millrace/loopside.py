"""One event loop as a store thread sees it. Owns handing results back, and the moments of sleep that let threads run.

An event loop that always has work yields the interpreter only for an instant and takes it back: a store thread beside
one was seen to write once in 1.8 s. So while nothing comes back for 5 ms the loop sleeps for 50 us now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

__all__ = ["Line", "LoopSide"]

_PATIENCE = 0.005  #: seconds without a result after which the loop makes room
_PAUSE = 0.002  #: seconds between two such sleeps
_SLEEP = 0.000_05

Line = list[tuple["Future[Any]", Any, BaseException | None]]


class LoopSide:
    """One running loop: how many futures of it are out, and the timer that watches over them.

    Args:
        loop: The running loop; this is made and asked only by its own thread.
        on_idle: Called on the loop once nothing has been out for a while.
    """

    __slots__ = ("_came", "_on_idle", "_seen", "loop", "out")

    def __init__(self, loop: AbstractEventLoop, on_idle: Callable[[LoopSide], None]) -> None:
        self.loop = loop
        self.out = 0  #: futures not settled yet
        self._came = 0  #: lines delivered
        self._seen = 0
        self._on_idle = on_idle
        loop.call_later(_PATIENCE, self._watch)

    def _deliver(self, line: Line) -> None:
        """Settle the futures of a group, on the loop."""
        self.out -= len(line)
        self._came += 1
        for future, value, error in line:
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _watch(self) -> None:
        if self.out <= 0:
            self._on_idle(self)
            return
        wait = _PATIENCE
        if self._came == self._seen:
            time.sleep(_SLEEP)  # not to pass time but to let go of the interpreter
            wait = _PAUSE
        self._seen = self._came
        self.loop.call_later(wait, self._watch)

    def hand_back(self, line: Line) -> None:
        """Give results to the loop from another thread; where it is closed meanwhile, nobody wants them."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._deliver, line)
