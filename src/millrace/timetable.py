"""When a schedule ticks: by a cron expression in a time zone, or at an interval. Owns that arithmetic; stores nothing.

Ticks are microseconds in UTC, so that a change of the clocks can neither double one nor drop one. Cron expressions are
read by cronsim, as Debian's cron reads them: a fixed time that the clocks leap over comes at the end of the leap, one
that comes twice runs once, and what is said by `*` follows the time that passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from millrace.clock import SECOND, from_datetime, to_datetime
from millrace.errors import ScheduleError

__all__ = ["ALIASES", "Cron", "Interval", "Timetable"]

#: What cron has short names for.
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_SHORTEST = SECOND  # between two ticks: workers look each second
_YEARS = range(1970, 9000)  # there is no datetime to reckon with far beyond
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


class Timetable(Protocol):
    """When a schedule ticks."""

    def after(self, at: int) -> int | None:
        """Return the first tick later than a time; None where there is none any more."""
        ...

    def latest(self, at: int) -> int | None:
        """Return the last tick that is not later than a time; None where there was none."""
        ...

    @property
    def words(self) -> str:
        """The same for people."""
        ...


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """Ticks by a cron expression.

    Args:
        expression: Five fields (minute, hour, day of the month, month, day of the week), or six with seconds first; `L`
            is the last day, `5L` the last Friday, `MON#2` the second Monday; or `@daily` and its kin.
        timezone: In which it is meant, by its IANA name.

    Raises:
        ScheduleError: The expression or the zone is not understood, or never comes.

    >>> nine = Cron("0 9 * * mon-fri", "Europe/Berlin")
    >>> to_datetime(nine.after(from_datetime(datetime(2026, 3, 27, 12, tzinfo=UTC)))).isoformat()
    '2026-03-30T07:00:00+00:00'
    >>> nine.words
    'At 09:00 on Monday through Friday, Europe/Berlin'
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        zone = _zone(self.timezone)
        try:
            ticks = CronSim(self._fields, datetime(2026, 1, 1, tzinfo=zone))
        except CronSimError as error:
            raise ScheduleError(
                f"cron={self.expression!r} is not understood: {str(error).lower()}; write minute, hour, day, month and "
                "weekday, such as '0 9 * * mon-fri', or @daily"
            ) from None
        if next(ticks, None) is None:
            raise ScheduleError(f"cron={self.expression!r} never comes; mend its day or month")

    @property
    def _fields(self) -> str:
        return ALIASES.get(self.expression.strip().lower(), self.expression)

    def after(self, at: int) -> int | None:
        """Return the first tick later than a time; None where there is none any more.

        Args:
            at: Microseconds since 1970, UTC.
        """
        tick = self._first_after(at)
        if tick is None:
            return None
        for hour in self._hours_shifted_before(tick):
            sooner = self._first_after(max(at, hour - SECOND))
            if sooner is not None and sooner < tick:
                return sooner
        return tick

    def latest(self, at: int) -> int | None:
        """Return the last tick that is not later than a time; None where there was none."""
        before = next((tick for tick in self._ticks(at + 1, reverse=True) if tick <= at), None)
        if before is None:
            return None
        # Backward the hour that comes twice may be passed once; forward it counts.
        while (later := self.after(before)) is not None and later <= at:
            before = later
        return before

    @property
    def words(self) -> str:
        """The same for people."""
        told = CronSim(self._fields, datetime(2026, 1, 1, tzinfo=UTC)).explain()
        return f"{told}, {self.timezone}"

    def _first_after(self, at: int) -> int | None:
        return next((tick for tick in self._ticks(at) if tick > at), None)

    def _hours_shifted_before(self, tick: int) -> list[int]:
        """Return the whole hours of a tick's day before it, where the clocks changed by a part of an hour that day.

        cronsim goes from hour to hour of the time that passes; after such a change it would look at half past only.
        """
        local = to_datetime(tick).astimezone(_zone(self.timezone))
        midnight = local.replace(hour=0, minute=0, second=0, fold=0)
        shift = (local.utcoffset() or timedelta()) - (midnight.utcoffset() or timedelta())
        if shift % timedelta(hours=1) == timedelta():
            return []
        hour = local.replace(minute=0, second=0)
        first, hours = from_datetime(midnight), list[int]()
        while (at := from_datetime(hour)) > first:
            hours.append(at)
            hour = (hour.astimezone(UTC) - timedelta(hours=1)).astimezone(hour.tzinfo)
        return hours[::-1]

    def _ticks(self, at: int, *, reverse: bool = False) -> Iterator[int]:
        local = to_datetime(at).astimezone(_zone(self.timezone))
        for tick in CronSim(self._fields, local, reverse=reverse):
            if tick.year not in _YEARS:
                return
            yield from_datetime(tick)


class Interval(msgspec.Struct, frozen=True, tag="interval"):
    """Ticks at equal distances, whatever clocks on walls do.

    Args:
        every: The distance in microseconds.
        since: From when it is counted, in microseconds since 1970: the first tick is one distance later.

    Raises:
        ScheduleError: It is shorter than a second.

    >>> five = Interval(300 * SECOND, since=0)
    >>> five.after(0) // SECOND, five.after(five.after(0)) // SECOND, five.latest(899 * SECOND) // SECOND
    (300, 600, 600)
    >>> five.words
    'Every 5 minutes'
    """

    every: int
    since: int = 0

    def __post_init__(self) -> None:
        if self.every < _SHORTEST:
            raise ScheduleError(f"every {self.every / SECOND:g} s is too often; give one second or more")

    def after(self, at: int) -> int | None:
        """Return the first tick later than a time."""
        return self.since + (max(at - self.since, 0) // self.every + 1) * self.every

    def latest(self, at: int) -> int | None:
        """Return the last tick that is not later than a time; None where there was none."""
        number = (at - self.since) // self.every
        return self.since + number * self.every if number > 0 else None

    @property
    def words(self) -> str:
        """The same for people."""
        seconds = self.every / SECOND
        for size, name in _UNITS:
            number = seconds / size
            if number >= 1 and number.is_integer():
                return f"Every {name}" if number == 1 else f"Every {int(number)} {name}s"
        return f"Every {seconds:g} seconds"


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(
            f"timezone={name!r} is not known here; give an IANA name such as 'Europe/Berlin', or install tzdata"
        ) from None
