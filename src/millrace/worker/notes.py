"""What handlers tell while they run: log lines, progress, partial results. Owns their way into the store, in batches.

Everything here is fenced like an outcome, and an attempt that has ended has no fence left: whoever writes outcomes
calls `flush` before. Nothing here is worth failing a handler for; out of reach of the store it is kept for later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from millrace.messages import Beat
from millrace.records import LogRow
from millrace.states import JobState
from millrace.store import Store
from millrace.worker.attempt import Told
from millrace.worker.outage import UNUSABLE, Outage

if TYPE_CHECKING:
    from millrace.worker.attempt import Attempt
    from millrace.worker.news import News

__all__ = ["Notes"]

T = TypeVar("T")

_CHUNK = 500
_MOST_LINES = 100_000  # that wait for a store out of reach; the newest are kept


class Notes:
    """The notes of all attempts of one worker that are not written yet."""

    def __init__(self, store: Store, worker: int, outage: Outage, call: Callable[[float], None]) -> None:
        self.pending = False  #: whether there is something to write
        self.busy = False  #: whether some of it is being written
        self._store = store
        self._worker = worker
        self._outage = outage
        self._call = call  # asks for a flush from another thread within so many seconds
        self._lines: deque[LogRow] = deque(maxlen=_MOST_LINES)
        self._beats: deque[tuple[Attempt, Beat]] = deque()
        self._late: deque[Attempt] = deque()
        self._lock = RLock()
        self.news: News | None = None  #: who is told of what was written

    def add_line(self, line: LogRow) -> None:
        """Keep a log line; it is written within a twentieth of a second, and before the attempt's outcome."""
        self._lines.append(line)
        self._ask(0.05)

    def add_beat(self, attempt: Attempt, beat: Beat, wait: bool) -> None:  # noqa: FBT001 - as the seat says
        """Write a beat: before this returns where the caller may wait, else at once from another thread."""
        self._beats.append((attempt, beat))
        self._now(wait)

    def add_attempt(self, attempt: Attempt, wait: bool) -> None:  # noqa: FBT001 - as the seat says
        """Write an attempt's newest progress, as `add_beat` does."""
        self._late.append(attempt)
        self._now(wait)

    def add_attempt_later(self, attempt: Attempt) -> None:
        """Write an attempt's newest progress within a tenth of a second."""
        self._late.append(attempt)
        self._ask(0.1)

    def _now(self, wait: bool) -> None:  # noqa: FBT001
        self.pending = True
        if wait:
            self.flush()
        else:
            self._call(0.0)

    def _ask(self, seconds: float) -> None:
        if not self.pending:
            self.pending = True
            self._call(seconds)

    def flush(self) -> bool:
        """Write all there is; tell whether the store took it."""
        with self._lock:
            self.busy = True  # before `pending` falls: who sees neither may be sure that all is written
            self.pending = False
            try:
                while self._lines:
                    self._write_lines()
                for attempt in _taken(self._late):
                    beat = attempt.take_progress()
                    if beat is not None:
                        self._beats.append((attempt, beat))
                while self._beats:
                    self._write_beats()
            except UNUSABLE as error:
                self.pending = True
                self._outage.hit(error)
                return False
            finally:
                self.busy = False
            return True

    def _write_lines(self) -> None:
        lines = _taken(self._lines, _CHUNK)
        try:
            kept = self._store.log(self._worker, lines)
        except UNUSABLE:
            self._lines.extendleft(reversed(lines))
            raise
        if self.news is not None:
            self.news.lines(lines, kept)

    def _write_beats(self) -> None:
        beats = _taken(self._beats, _CHUNK)
        try:
            states = self._store.extend(self._worker, [beat for _, beat in beats])
        except UNUSABLE:
            self._beats.extendleft(reversed(beats))
            raise
        if self.news is not None:
            self.news.beats(beats, states)
        for (attempt, _), state in zip(beats, states, strict=True):
            if state is None:
                if not attempt.completes_itself:  # else that may be why
                    attempt.tell(Told.LOST)
            elif state is JobState.CANCELLING:
                attempt.tell(Told.CANCEL)


def _taken(queue: deque[T], most: int | None = None) -> list[T]:
    return [queue.popleft() for _ in range(len(queue) if most is None else min(most, len(queue)))]
