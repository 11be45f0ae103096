"""How pages are written: the templates, and how values look in them. Owns Jinja; every text is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from logging import getLevelName
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["LONGEST", "clipped", "count", "json_text", "paper", "stamp"]

LONGEST = 20_000  #: characters of one text on a page


@lru_cache(maxsize=1)
def paper() -> Environment:
    """Make the environment of the templates, once for each process.

    >>> paper().from_string("{{ text }}").render(text="<b>")
    '&lt;b&gt;'
    """
    made = Environment(
        loader=PackageLoader("millrace.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clipped": clipped,
        "count": count,
        "json_text": json_text,
        "level": getLevelName,
        "stamp": stamp,
    }
    return made


def clipped(text: str, most: int = LONGEST) -> str:
    """Cut a long text, and say so.

    >>> clipped("abcdef", 3)
    'abc… (3 more characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def count(number: int) -> str:
    """Write a number with its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def json_text(value: Any) -> str:
    """Write a JSON value to be read.

    >>> json_text({"a": 1})
    '{"a": 1}'
    """
    data = msgspec.json.encode(value)
    text = msgspec.json.format(data, indent=2).decode()
    short = msgspec.json.format(data, indent=0).decode()
    return short if len(short) <= 60 else text  # noqa: PLR2004 - what fits a line of a phone or two


def stamp(at: datetime | None) -> str:
    """Write a time to the second, in UTC; a dash for None.

    >>> stamp(datetime(2026, 1, 1, tzinfo=UTC)), stamp(None)
    ('2026-01-01 00:00:00 UTC', '-')
    """
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
