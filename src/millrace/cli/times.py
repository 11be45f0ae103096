"""Times and durations as people type and read them. Pure; the clock is the caller's."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["ago", "parse_duration", "parse_time", "seconds_text", "stamp", "until"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PARTS.pattern})+", re.ASCII)

# above so many of a unit the next one reads better
_STEPS = ((120, 1, "s"), (7_200, 60, "m"), (172_800, 3600, "h"), (float("inf"), 86_400, "d"))


def seconds_text(seconds: float) -> str:
    """Write a duration in its most readable unit.

    >>> [seconds_text(each) for each in (0.0042, 0.25, 12.34, 90, 4000, 90_000, 400_000)]
    ['4 ms', '250 ms', '12.3 s', '90 s', '66 m', '25 h', '4 d']
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.3g} s"
    return next(f"{seconds // size:.0f} {unit}" for limit, size, unit in _STEPS if seconds < limit)


def ago(at: datetime | None, now: datetime) -> str:
    """Write how long ago a time was, in one short word; the empty text for None.

    >>> ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
    '5m'
    """
    if at is None:
        return ""
    seconds = max((now - at).total_seconds(), 0.0)
    return next(f"{seconds // size:.0f}{unit}" for limit, size, unit in _STEPS if seconds < limit)


def until(at: datetime | None, now: datetime) -> str:
    """Write how far ahead a time is, with a plus; `now` once it has passed, the empty text for None.

    >>> until(datetime(2026, 1, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    'in 2h'
    """
    if at is None:
        return ""
    return f"in {ago(now, at)}" if at > now else "now"


def stamp(at: datetime | None) -> str:
    """Write a time in the local timezone, to the millisecond; a dash for None.

    >>> stamp(None)
    '-'
    """
    if at is None:
        return "-"
    local = at.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {local:%z}"


def parse_duration(text: str) -> float:
    """Read a duration as people type it: seconds, or parts with units.

    Raises:
        ValueError: It is none.

    >>> parse_duration("90"), parse_duration("1.5h"), parse_duration("1h30m")
    (90.0, 5400.0, 5400.0)
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; give seconds, or such as 30s, 5m, 2h, 7d")
    return float(sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text)))


def parse_time(text: str) -> datetime:
    """Read a time in ISO 8601 with its timezone.

    Raises:
        ValueError: It is none, or has no timezone.

    >>> parse_time("2026-12-24T18:00Z").hour
    18
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write 2026-12-24T18:00:00+01:00") from None
    if at.utcoffset() is None:
        raise ValueError(f"{text!r} has no timezone; write {text}Z for UTC, or add +01:00")
    return at.astimezone(UTC)
