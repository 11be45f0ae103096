"""The first page: what needs attention, then counts and queues. Owns what counts as in need of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from starlette.responses import Response

from millrace.cli.times import seconds_text
from millrace.clock import to_datetime
from millrace.dashboard.visit import Visit
from millrace.states import ACTIVE, JobState

__all__ = ["Concern", "concerns", "page"]

_NEWEST = 5
_PAGES = {"leases": "/workers", "schedules": "/schedules", "workers": "/workers", "waiting": "/queues"}


class Concern(NamedTuple):
    """One thing that needs attention: the sentence, where to look, and whether it is grave."""

    text: str
    link: str
    grave: bool = False


def page(visit: Visit) -> Response:
    """Show the overview."""
    app, counted = visit.app, visit.counted
    return visit.page(
        "overview.html",
        concerns=list(concerns(visit)),
        total=sum(counted.counts.values()),
        depth=sum(each.number for each in counted.waiting),
        oldest=_oldest(visit),
        running=app.list(state=ACTIVE, limit=_NEWEST),
        dead=app.list(state=JobState.DEAD, limit=_NEWEST),
        states=list(JobState),
    )


def concerns(visit: Visit) -> Iterator[Concern]:
    """Give what needs attention, the grave first."""
    counted = visit.counted
    for problem in counted.problems:
        path = _PAGES.get(problem.about, "/jobs")
        yield Concern(problem.text, visit.link(path), grave=True)
    if dead := counted.counts.get(JobState.DEAD, 0):
        text = "1 job is" if dead == 1 else f"{dead:,} jobs are"
        yield Concern(f"{text} dead: no tries are left", visit.link("/jobs", state="dead"), grave=True)
    for queue in counted.queues:
        if queue.paused:
            waits = queue.counts.get(JobState.PENDING, 0)
            yield Concern(f"queue {queue.name} is paused, {waits:,} pending in it", visit.link("/queues"))


def _oldest(visit: Visit) -> str | None:
    """Say for how long the oldest due job has waited."""
    if not visit.counted.waiting:
        return None
    first = min(visit.counted.waiting, key=lambda each: each.since)
    waited = (visit.now - to_datetime(first.since)).total_seconds()
    return f"{seconds_text(max(waited, 0.0))} in queue {first.queue}"
