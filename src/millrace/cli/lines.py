"""What a worker's log looks like on a terminal, in a file and as JSON. Owns these forms; decides nothing about levels.

Lines about a job are laid out in columns: time, level, event, task, id, how long it took, then what there is to say. A
terminal gets the end of the id and the time of day, a file or pipe both in full.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, cast

import click
import msgspec

from millrace.cli.output import flat, fold, state_colour
from millrace.cli.times import seconds_text
from millrace.clock import SECOND

__all__ = ["JsonLines", "PlainLines", "event_of"]

_SHORT = 8  # of an id, from its end: ids made together begin alike
_JOBS = "millrace.job"  # the logger of what handlers say of their jobs
_LEVEL, _EVENT, _TOOK = 7, 9, 6
_LEVEL_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_ABOUT_JOBS = ("job_id", "task", "queue", "attempt", "event")


def event_of(record: logging.LogRecord) -> str | None:
    """Return how an attempt ended, where the record tells that.

    >>> event_of(logging.makeLogRecord({"event": "completed"}))
    'completed'
    """
    event: object = getattr(record, "event", None)
    return event if isinstance(event, str) else None


def _took(record: logging.LogRecord) -> float | None:
    """Return the seconds from the claim to this line, where the record tells the claim's time."""
    started: object = getattr(record, "started", None)
    return max(record.created - started / SECOND, 0.0) if isinstance(started, int) else None


def _said(record: logging.LogRecord) -> str:
    """Give what a handler logged, and the values that it gave by name."""
    data: object = getattr(record, "data", None)
    values = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    return " ".join([record.getMessage(), *(f"{name}={value!r}" for name, value in values.items())])


class PlainLines(logging.Formatter):
    """Lines for people.

    Args:
        colour: Whether a terminal reads them.

    >>> PlainLines(colour=False).format(logging.makeLogRecord({"msg": "hello", "levelname": "INFO", "created": 0.0}))
    '1970-01-01T00:00:00.000Z INFO     hello'
    """

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Write one record; a traceback follows on lines of its own, indented."""
        level = record.levelname
        begin = f"{self._time(record)} {self._styled(f'{level:<{_LEVEL}}', _LEVEL_COLOURS.get(level))}"
        event = event_of(record)
        if event is not None:
            text = self._about(record, event, str(getattr(record, "detail", "")))
        elif record.name == _JOBS:
            text = self._about(record, "log", _said(record))
        else:
            text = flat(record.getMessage())
        lines = [f"{begin}  {text}"]
        if record.exc_info:
            lines.append(fold(self.formatException(record.exc_info), "    "))
        return "\n".join(lines)

    def _about(self, record: logging.LogRecord, event: str, detail: str) -> str:
        id = str(getattr(record, "job_id", ""))
        took = _took(record)
        columns = [
            self._styled(f"{event:<{_EVENT}}", state_colour(event)),
            flat(str(getattr(record, "task", ""))),
            id[-_SHORT:] if self._colour else id,
            f"{'' if took is None else seconds_text(took):>{_TOOK}}",
            flat(detail),
        ]
        return "  ".join(columns).rstrip()

    def _time(self, record: logging.LogRecord) -> str:
        if self._colour:
            return f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S}"
        at = datetime.fromtimestamp(record.created, UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"

    def _styled(self, text: str, colour: str | None) -> str:
        return click.style(text, fg=colour) if self._colour and colour else text


class JsonLines(logging.Formatter):
    """One JSON object a line.

    >>> JsonLines().format(logging.makeLogRecord({"msg": "hello", "levelname": "INFO", "created": 0.0, "name": "x"}))
    '{"time":"1970-01-01T00:00:00Z","level":"info","logger":"x","message":"hello"}'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one record with what it says about its job."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.name == _JOBS:
            told["message"] = _said(record)
        told |= {name: value for name in _ABOUT_JOBS if (value := getattr(record, name, None)) is not None}
        took = _took(record)
        if took is not None and event_of(record) is not None:
            told["seconds"] = round(took, 6)
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told).decode()
