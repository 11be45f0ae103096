"""Which ticks of a schedule are due, and the jobs they make. Owns that policy; what is due is fired by the store.

A schedule remembers up to when it has been seen to: its watermark. Ticks up to there are never looked at again, so a
clock that steps back fires nothing twice. What an absence has missed is made up for as `catch_up` says.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Literal

import msgspec

from millrace.clock import SECOND
from millrace.timetable import Cron, Interval

__all__ = ["MOST_AT_ONCE", "PUNCTUAL", "CatchUp", "Due", "Rule", "lateness", "tick_id"]

CatchUp = Literal["latest", "skip", "all"]

MOST_AT_ONCE = 1000  #: ticks that `all` makes up for, the newest
PUNCTUAL = 60 * SECOND  #: a tick found later than that was missed, for `skip`


class Due(msgspec.Struct, frozen=True):
    """What is due of a schedule at a time.

    Attributes:
        ticks: Those to fire, oldest first.
        watermark: Up to when all is seen to with them.
        next: When the next one comes; None: never again.
    """

    ticks: tuple[int, ...]
    watermark: int
    next: int | None


class Rule(msgspec.Struct, frozen=True):
    """When a schedule ticks, between its start and its end, and what becomes of ticks that were missed.

    Args:
        timetable: When.
        catch_up: "latest": of those missed the newest is made up for, "skip": none, "all": each, up to 1,000.
        start: No tick before it, in microseconds since 1970; None: from when it was put.
        end: No tick after it.

    >>> rule = Rule(Interval(60 * SECOND))
    >>> rule.due(0, 59 * SECOND).ticks, rule.due(0, 61 * SECOND).next // SECOND
    ((), 120)
    >>> [tick // SECOND for tick in rule.due(0, 190 * SECOND).ticks]
    [180]
    >>> [tick // SECOND for tick in Rule(Interval(60 * SECOND), catch_up="all").due(0, 190 * SECOND).ticks]
    [60, 120, 180]
    """

    timetable: Cron | Interval
    catch_up: CatchUp = "latest"
    start: int | None = None
    end: int | None = None

    def next(self, watermark: int) -> int | None:
        """Return the first tick after a time; None where there is none any more."""
        tick = self.timetable.after(self._from(watermark))
        return None if tick is None or (self.end is not None and tick > self.end) else tick

    def due(self, watermark: int, now: int) -> Due:
        """Tell what is due, of what comes after the watermark.

        Args:
            watermark: Up to when all has been seen to.
            now: The store's time.
        """
        first = self.next(watermark)
        if first is None or first > now:
            return Due((), watermark, first)
        newest = self.timetable.latest(now if self.end is None else min(now, self.end)) or first
        return Due(self._chosen(first, newest, now), newest, self.next(newest))

    def _chosen(self, first: int, newest: int, now: int) -> tuple[int, ...]:
        if self.catch_up == "all":
            return tuple(deque(self._between(first, newest), maxlen=MOST_AT_ONCE))
        if self.catch_up == "skip" and now - newest > PUNCTUAL:
            return ()
        return (newest,)

    def _between(self, first: int, newest: int) -> Iterator[int]:
        tick: int | None = first
        while tick is not None and tick <= newest:
            yield tick
            tick = self.timetable.after(tick)

    def _from(self, watermark: int) -> int:
        return watermark if self.start is None else max(watermark, self.start - 1)


def tick_id(schedule: str, tick: int) -> bytes:
    """Return the id of the job of a tick: always the same, so that it cannot be stored twice.

    A UUID version 7 of the tick's time, its random part a hash (SHA-256) of the schedule's name and the tick.

    >>> tick_id("report", 60 * SECOND) == tick_id("report", 60 * SECOND) != tick_id("other", 60 * SECOND)
    True
    """
    digest = int.from_bytes(_digest(schedule, tick)[:16], "big")
    version = 7 << 76 | 2 << 62
    number = (tick // 1000) << 80 | version | (digest >> 64 & 0xFFF) << 64 | digest & (1 << 62) - 1
    return number.to_bytes(16, "big")


def lateness(schedule: str, tick: int, jitter: int) -> int:
    """Return by how much a tick's job is put off, from 0 to `jitter`: for all workers by the same.

    >>> 0 <= lateness("report", 60 * SECOND, 5 * SECOND) <= 5 * SECOND
    True
    """
    return int.from_bytes(_digest(schedule, tick)[16:24], "big") * jitter >> 64


def _digest(schedule: str, tick: int) -> bytes:
    return hashlib.sha256(f"{tick} {schedule}".encode()).digest()
