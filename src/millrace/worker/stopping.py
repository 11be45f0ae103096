"""The signals that stop a worker, and the pace at which its threads take turns. Owns what `run` changes in the process.

Both are given back when `run` returns, and neither is touched by a worker that is only started.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, Self

from millrace.worker.bell import Bell

__all__ = ["StopSignals", "quick_switching"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds after which a thread that computes must let another run. With the 5 ms that Python has, a write of 50 rows
# beside a computing handler took 22-30 ms; with this 3 ms.
_SWITCH_INTERVAL = 0.0005


class StopSignals:
    """SIGTERM and SIGINT while a worker runs in the main thread; elsewhere it changes nothing.

    A handler of signals may interrupt the main thread anywhere, inside a lock too, so this one only counts and rings.

    Args:
        bell: Rung at each.
        last_words: Seconds after the second one at which the process ends, whatever holds up the main thread; a locked
            store could hold it for long. None: it is left to the main thread.

    >>> with StopSignals(Bell()) as signals:
    ...     signals.count
    0
    """

    def __init__(self, bell: Bell, last_words: float | None = None) -> None:
        self.count = 0  #: how many have come
        self._last_words = last_words
        self._bell = bell
        self._before: dict[int, Any] = {}
        self._second = Bell()
        self._left = Event()

    @property
    def again(self) -> bool:
        """Whether a second one has come."""
        return self.count > 1

    def __enter__(self) -> Self:
        if current_thread() is main_thread():
            if self._last_words is not None:
                Thread(target=self._guard, args=(self._last_words,), name="millrace-signals", daemon=True).start()
            self._before = {each: signal.signal(each, self._handle) for each in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        self._left.set()
        self._second.ring()

    def _handle(self, _: int, __: FrameType | None) -> None:
        self.count += 1
        self._bell.ring()
        if self.again:
            self._second.ring()

    def _guard(self, seconds: float) -> None:
        self._second.wait(-1)
        if not self._left.wait(seconds):
            os._exit(1)


@contextmanager
def quick_switching() -> Generator[None]:
    """Let threads take turns more often, as a process needs in which some compute and others talk to the store."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
