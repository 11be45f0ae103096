"""Which of a worker's lines are shown. Owns the muting of successes that come too fast to read; formats nothing.

Each success is worth a line while a person could read it. In a flood the lines would cost more than the jobs, so after
some of them the worker's logger is turned down, which stops their making at its source, and every few seconds one line
tells how many there were.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from millrace.cli.lines import event_of

__all__ = ["Flow"]

_READABLE = 20  # successes a second that are shown one by one
_SPAN_SECONDS = 5.0  # how long successes are only counted, once there are more


class Flow(logging.Filter):
    """Lets lines through by level, and successes as long as they are few.

    Args:
        level: From which level on lines are shown; at DEBUG all are, at INFO successes too.
        worker: The worker's logger, which makes a line of a success only at DEBUG.
        completed: Tells how many successes there have been.
        now: A clock in seconds.
    """

    def __init__(
        self,
        level: int,
        worker: logging.Logger,
        completed: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._level = level
        self._worker = worker
        self._completed = completed
        self._now = now
        self._lock = threading.Lock()
        self._second = 0
        self._shown = 0
        self._muted_at = 0.0
        self._counted = 0
        self._timer: threading.Timer | None = None
        worker.setLevel(logging.DEBUG if level <= logging.INFO else level)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is shown."""
        success = event_of(record) == "completed" and record.levelno == logging.DEBUG  # one with a warning is news
        if not success or self._level <= logging.DEBUG:
            return record.levelno >= self._level
        if self._level > logging.INFO:
            return False
        record.levelno, record.levelname = logging.INFO, "INFO"
        with self._lock:
            return self._readable()

    def _readable(self) -> bool:
        second = int(self._now())
        if second != self._second:
            self._second, self._shown = second, 0
        self._shown += 1
        if self._shown <= _READABLE:
            return True
        if self._timer is None:
            self._mute()
        return False

    def _mute(self) -> None:
        """Make no lines of successes for a while."""
        self._worker.setLevel(logging.INFO)
        self._muted_at, self._counted = self._now(), self._completed()
        self._timer = threading.Timer(_SPAN_SECONDS, self.unmute)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Count no more; the worker itself tells the sum in the end."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def unmute(self) -> None:
        """Tell how many successes there were, and make lines of them again. Does nothing where none were muted."""
        with self._lock:
            if self._timer is None:
                return
            self._timer.cancel()
            self._timer = None
            number, seconds = self._completed(), self._now() - self._muted_at
            rate = (number - self._counted) / seconds if seconds > 0 else 0.0
            self._worker.setLevel(logging.DEBUG)
        self._worker.info("%s completed so far, %s a second of late", f"{number:,}", f"{rate:,.0f}")
