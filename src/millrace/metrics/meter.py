"""Where one app's counts are kept. Owns what is counted when; each call is made once a batch, not once a job.

Labels are names of tasks and queues, and both are a user's to make up. So beyond `MOST_LANES` pairs the rest is counted
together, under "(other)": a metric must not grow without end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import Lock
from typing import Protocol
from weakref import WeakSet

from millrace.metrics.families import (
    ATTEMPTS,
    DELAY_SECONDS,
    ENQUEUED,
    LEASES_LOST,
    RUN_SECONDS,
    STALE,
    STORE_ERRORS,
    STORE_SECONDS,
    Family,
)
from millrace.metrics.readings import Labels, Readings, Spread
from millrace.states import OutcomeKind

__all__ = ["MOST_LANES", "OTHER", "Ended", "Meter", "Source"]

MOST_LANES = 1000  #: pairs of task and queue that are told apart
OTHER = "(other)"

Ended = tuple[str, str, OutcomeKind, float]  #: task, queue, how the attempt ended, the seconds that its handler ran


class Source(Protocol):
    """Who knows more than was counted so far."""

    def settle(self) -> None:
        """Count what was kept back until now."""
        ...

    def gauge(self, readings: Readings, /) -> None:
        """Set what is so at this very moment."""
        ...


class Named(Protocol):
    """What belongs to a task and a queue."""

    @property
    def task(self) -> str:
        """The task's name."""
        ...

    @property
    def queue(self) -> str:
        """The queue's."""
        ...


class _Lane:
    """What is counted of one task in one queue; a number by family where it is one, for what comes once a batch."""

    __slots__ = ("delays", "ends", "labels", "numbers", "seconds")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.numbers: dict[Family, float] = {}
        self.ends: dict[OutcomeKind, int] = {}
        self.seconds = Spread(RUN_SECONDS.buckets)
        self.delays = Spread(DELAY_SECONDS.buckets)

    def tell(self, readings: Readings) -> None:
        """Put what was counted into readings."""
        for family, number in self.numbers.items():
            readings.add(family, self.labels, number)
        for kind, number in self.ends.items():
            readings.add(ATTEMPTS, (*self.labels, kind.value), number)
        for family, spread in ((RUN_SECONDS, self.seconds), (DELAY_SECONDS, self.delays)):
            if any(spread.counts):
                readings.spread(family, self.labels).take_in(spread.counts, spread.sum)


class Meter:
    """The counts of one app in this process.

    >>> meter = Meter()
    >>> meter.ended([("add", "default", OutcomeKind.COMPLETED, 0.5)])
    >>> meter.read().value(ATTEMPTS, "add", "default", "completed")
    1.0
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls = Readings()  # of the store, and what others have counted
        self._lanes: dict[Labels, _Lane] = {}
        self._sources: WeakSet[Source] = WeakSet()

    def read(self) -> Readings:
        """Return all counts as they are, with what is so now of those who were attached."""
        with self._lock:
            sources = list(self._sources)
        for source in sources:
            source.settle()
        with self._lock:
            read = self._calls.copy()
            for lane in self._lanes.values():
                lane.tell(read)
        for source in sources:
            now = Readings()
            source.gauge(now)
            read.merge(now)
        return read

    def taken(self) -> Readings | None:
        """Return what was counted since the last time, and begin anew; None where that is nothing."""
        with self._lock:
            taken, self._calls = self._calls, Readings()
            for lane in self._lanes.values():
                lane.tell(taken)
            self._lanes.clear()
        return None if taken.empty else taken

    def attach(self, source: Source) -> None:
        """Ask another one too whenever the counts are read."""
        with self._lock:
            self._sources.add(source)

    def detach(self, source: Source) -> None:
        """Ask it no longer; what it has kept back is counted."""
        source.settle()
        with self._lock:
            self._sources.discard(source)

    # -- counting

    def enqueued(self, rows: Iterable[Named]) -> None:
        """Count jobs that were stored."""
        self._count(ENQUEUED, rows)

    def leases_lost(self, rescued: Iterable[Named]) -> None:
        """Count leases that were taken back."""
        self._count(LEASES_LOST, rescued)

    def stale(self, rows: Iterable[Named]) -> None:
        """Count attempts whose end was refused."""
        self._count(STALE, rows)

    def started(self, delays: Iterable[tuple[str, str, float]]) -> None:
        """Take in by how many seconds after they were due jobs have begun: task, queue and seconds."""
        lanes = self._lanes
        with self._lock:
            for task, queue, seconds in delays:
                lane = lanes.get((task, queue)) or self._lane(task, queue)
                lane.delays.add(seconds if seconds > 0 else 0.0)

    def ended(self, attempts: Iterable[Ended]) -> None:
        """Count attempts whose end the store has."""
        lanes = self._lanes
        with self._lock:
            for task, queue, kind, seconds in attempts:
                lane = lanes.get((task, queue)) or self._lane(task, queue)
                lane.ends[kind] = lane.ends.get(kind, 0) + 1
                lane.seconds.add(seconds)

    def called(self, call: str, seconds: float, error: BaseException | None = None) -> None:
        """Take in one call of the store."""
        with self._lock:
            self._calls.spread(STORE_SECONDS, (call,)).add(seconds)
            if error is not None:
                self._calls.add(STORE_ERRORS, (call, type(error).__name__))

    def take_in(self, readings: Readings) -> None:
        """Add what was counted elsewhere: by a child process."""
        with self._lock:
            self._calls.merge(readings)

    def _count(self, family: Family, rows: Iterable[Named]) -> None:
        numbers = Counter((row.task, row.queue) for row in rows)
        if numbers:
            with self._lock:
                for (task, queue), number in numbers.items():
                    counted = self._lane(task, queue).numbers
                    counted[family] = counted.get(family, 0) + number

    def _lane(self, task: str, queue: str) -> _Lane:
        """Return what is counted of a task and queue. The lock is held."""
        labels = task, queue
        lane = self._lanes.get(labels)
        if lane is None:
            if len(self._lanes) >= MOST_LANES:
                labels = OTHER, OTHER
            lane = self._lanes.get(labels)
            if lane is None:
                lane = self._lanes[labels] = _Lane(labels)
        return lane
