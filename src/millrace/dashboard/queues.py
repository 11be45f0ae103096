"""The page of the queues: settings, depth and age of each. Owns what is summed up; pausing is in `actions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from starlette.responses import Response

from millrace.clock import to_datetime
from millrace.dashboard.visit import Visit
from millrace.messages import Waiting
from millrace.states import ACTIVE, WAITING, JobState

__all__ = ["page"]


def page(visit: Visit) -> Response:
    """Show the queues."""
    return visit.page(
        "queues.html",
        queues=visit.counted.queues,
        since=_since(visit.counted.waiting),
        later=WAITING,
        active=ACTIVE,
        State=JobState,
    )


def _since(waiting: Sequence[Waiting]) -> Mapping[str, datetime]:
    """Return by queue since when its oldest due job waits."""
    since: dict[str, int] = {}
    for each in waiting:
        since[each.queue] = min(since.get(each.queue, each.since), each.since)
    return {queue: to_datetime(at) for queue, at in since.items()}
