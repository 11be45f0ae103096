"""What callers may give: names, numbers, times and durations. Owns the limits and the sentences that refuse.

Each function returns the value in its inner form or raises `ConfigurationError`; none does I/O.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from millrace.clock import from_datetime, micros
from millrace.errors import ConfigurationError

__all__ = [
    "MAX_NAME_BYTES",
    "MAX_TAGS",
    "PRIORITIES",
    "Named",
    "count",
    "due_time",
    "duration",
    "flag",
    "items",
    "moment",
    "name",
    "number",
    "optional_duration",
    "priority",
    "tag_names",
]

MAX_NAME_BYTES = 200
MAX_TAGS = 20
PRIORITIES = range(-32768, 32768)

_LONGEST = 100 * 365 * 86400.0  # a hundred years: beyond it a datetime may overflow, and the unit was surely wrong


class Named(Protocol):
    """What stands for its name where one is asked for: a task.

    >>> from millrace import Millrace
    >>> task: Named = Millrace("memory://").task(name="ping")(lambda: "pong")
    >>> task.name
    'ping'
    """

    @property
    def name(self) -> str:
        """Its name."""
        ...


def name(what: str, value: object) -> str:
    """Check a name (queue, task, key, tag): text of 1 to 200 bytes without NUL.

    >>> name("queue", "mail")
    'mail'
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} must be text, not {value!r}")
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise ConfigurationError(f"{what} {value!r} holds a lone surrogate; give valid text") from None
    if not 0 < size <= MAX_NAME_BYTES:
        raise ConfigurationError(f"{what} {value[:40]!r} has {size} bytes; give 1 to {MAX_NAME_BYTES}")
    if "\0" in value:
        raise ConfigurationError(f"{what} {value!r} holds a NUL character; leave it out")
    return value


def tag_names(values: Iterable[str]) -> tuple[str, ...]:
    """Check tags: at most 20 distinct names, kept in the order given.

    >>> tag_names(["a", "b", "a"])
    ('a', 'b')
    """
    tags = tuple(dict.fromkeys(name("tag", value) for value in items("tags", values)))
    if len(tags) > MAX_TAGS:
        raise ConfigurationError(f"a job may have {MAX_TAGS} tags, not {len(tags)}; put the rest into its arguments")
    return tags


def items(what: str, values: object, kind: str = "names") -> Iterable[Any]:
    """Check that a list, or another iterable, was given and no single text; what is in it is not looked at.

    >>> items("tags", ["a"])
    ['a']
    """
    if isinstance(values, str):
        raise ConfigurationError(f"{what} is a list of {kind}, not the text {values!r}; give [{values!r}]")
    if not isinstance(values, Iterable):
        raise ConfigurationError(f"{what} is a list of {kind}, not {values!r}; give a list")
    return cast("Iterable[Any]", values)


def flag(what: str, value: object) -> bool:
    """Check a yes or no: True or False and nothing that is merely true or false.

    >>> flag("eager", True)
    True
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{what} {value!r} is neither True nor False; give one of them")
    return value


def moment(what: str, value: object) -> int:
    """Check a time, an aware datetime, and return it in microseconds.

    >>> from datetime import UTC
    >>> moment("run_at", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{what} {value!r} is not a datetime; give an aware one, such as datetime.now(UTC)")
    if value.utcoffset() is None:
        raise ConfigurationError(f"{what} {value!r} has no timezone; give an aware datetime, such as datetime.now(UTC)")
    return from_datetime(value)


def priority(value: object) -> int:
    """Check a priority: an integer from -32768 to 32767, higher runs sooner.

    >>> priority(5)
    5
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in PRIORITIES:
        raise ConfigurationError(f"priority {value!r} is out of range; give an integer from -32768 to 32767")
    return value


def count(what: str, value: object, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """Check a whole number within bounds.

    >>> count("concurrency", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"{what} {value!r} is not acceptable; give an integer from {least} to {most}")
    return value


def number(what: str, value: object, *, least: float, most: float) -> float:
    """Check a number within bounds, whole or not.

    >>> number("jitter", 0.5, least=0.0, most=1.0)
    0.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigurationError(f"{what} {value!r} is not acceptable; give a number from {least:g} to {most:g}")
    return float(value)


def duration(what: str, value: object, *, positive: bool = False) -> float:
    """Check a duration in seconds or as a `timedelta`; not negative, and not zero where `positive`.

    >>> duration("delay", timedelta(minutes=1))
    60.0
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f"{what} {value!r} is not a duration; give seconds or a timedelta")
    if value < 0 or (positive and value == 0):
        raise ConfigurationError(
            f"{what} {value!r} is {'not positive' if positive else 'negative'}; give seconds ahead"
        )
    if value > _LONGEST:
        raise ConfigurationError(f"{what} of {value!r} seconds is over a hundred years; the unit is seconds")
    return float(value)


def optional_duration(what: str, value: object, *, positive: bool = False) -> float | None:
    """Check a duration that may be None.

    >>> optional_duration("timeout", None) is None
    True
    """
    return None if value is None else duration(what, value, positive=positive)


def due_time(delay: object, run_at: object) -> tuple[int, int | None]:
    """Check `delay` and `run_at`, of which one may be given, as (microseconds from now, absolute microseconds or None).

    >>> due_time(2, None)
    (2000000, None)
    """
    if run_at is None:
        return (0 if delay is None else micros(duration("delay", delay))), None
    if delay is not None:
        raise ConfigurationError(f"delay={delay!r} and run_at={run_at!r} exclude each other; give one of them")
    if not isinstance(run_at, datetime):
        raise ConfigurationError(f"run_at {run_at!r} is not a datetime; give an aware one, or delay=seconds")
    return 0, moment("run_at", run_at)
