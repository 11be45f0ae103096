"""Lines that a handler writes with `logging`, kept in its job's log as well. Owns how they are noticed, and which are.

A handler on the root logger would change what others see: `logging` prints warnings by itself where there is none, and
`basicConfig` does nothing where there is one. So lines are noticed where their records are made; who makes them is
wrapped while anything runs jobs in this process, and put back afterwards.
"""

from __future__ import annotations

import logging
from threading import Lock, local
from typing import Any

from millrace.context import CURRENT
from millrace.outcome import error_record

__all__ = ["begin", "end"]

_OURS = "millrace"  # our own lines tell of jobs, and do not belong to one; `JobContext.log` keeps its lines itself


class _Makers:
    """Who makes the records of this process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.users = 0
        self.wrapped = False
        self.before: Any = logging.getLogRecordFactory()


_makers = _Makers()
_keeping = local()  # a line may be written while one is kept: by what an argument does to be printed


def begin() -> None:
    """Keep lines from now on; each call needs an `end`.

    >>> begin()
    >>> end()
    """
    with _makers.lock:
        _makers.users += 1
        if not _makers.wrapped:
            _makers.before = logging.getLogRecordFactory()
            _makers.wrapped = True
            logging.setLogRecordFactory(_make)


def end() -> None:
    """Keep them no longer, where nobody else wants it. What somebody else has wrapped around us since stays."""
    with _makers.lock:
        _makers.users -= 1
        if not _makers.users and logging.getLogRecordFactory() is _make:
            logging.setLogRecordFactory(_makers.before)
            _makers.wrapped = False


def _make(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record: logging.LogRecord = _makers.before(*args, **kwargs)
    holder = CURRENT.get()
    if holder is not None and _makers.users and not getattr(_keeping, "on", False):
        least = holder.keeps
        if least is not None and record.levelno >= least and record.name.partition(".")[0] != _OURS:
            _keeping.on = True
            try:
                holder.keep(record.levelno, _text(record), {"logger": record.name})
            finally:
                _keeping.on = False
    return record


def _text(record: logging.LogRecord) -> str:
    """Return a record's message with its traceback, whatever its arguments do."""
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - an argument's own code may raise anything; `logging` tells it too
        text = f"{record.msg!r} [its arguments do not fit: {error_record(error).text}]"
    if record.exc_info is not None and record.exc_info[1] is not None:
        found = error_record(record.exc_info[1])
        text = f"{text}\n{found.traceback or found.text}"
    return text
