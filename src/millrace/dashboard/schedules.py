"""The page of the schedules: when each ticks next, in words and times. Owns looking ahead; acting is in `actions`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from starlette.responses import Response

from millrace.clock import SECOND, from_datetime, micros, to_datetime
from millrace.dashboard.visit import Visit
from millrace.schedule import Schedule
from millrace.timetable import Cron

__all__ = ["page", "upcoming"]

_AHEAD = 3


def page(visit: Visit) -> Response:
    """Show the schedules."""
    found = [(each, list(islice(upcoming(each), _AHEAD))) for each in visit.app.schedules.list()]
    return visit.page("schedules.html", schedules=found)


def upcoming(schedule: Schedule) -> Iterator[datetime]:
    """Give the next ticks of a schedule; none while it is paused or over.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> made = app.schedules.put("tidy", every=60, job=app.task(name="tidy")(lambda: None).job())
    >>> first, second = islice(upcoming(made), 2)
    >>> (second - first).total_seconds()
    60.0
    """
    table = None if schedule.cron is None else Cron(schedule.cron, schedule.timezone)
    at = None if schedule.next_at is None else from_datetime(schedule.next_at)
    end = None if schedule.end_at is None else from_datetime(schedule.end_at)
    while at is not None and (end is None or at <= end):
        yield to_datetime(at)
        if table is not None:
            at = table.after(at)
        elif schedule.every is not None:
            at += max(micros(schedule.every), SECOND)
