"""The first page: what needs attention, then counts and queues. Owns what counts as in need of attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from starlette.responses import Response

from millrace.cli.health import find_problems
from millrace.cli.times import seconds_text
from millrace.clock import SECOND
from millrace.dashboard.visit import Visit
from millrace.messages import Waiting
from millrace.states import ACTIVE, JobState

__all__ = ["Concern", "concerns", "page"]

_PATIENCE = 60.0  # seconds that a due job may wait before it is said
_NEWEST = 5
_PAGES = {"leases": "/workers", "schedules": "/schedules", "workers": "/workers", "waiting": "/queues"}


class Concern(NamedTuple):
    """One thing that needs attention: the sentence, where to look, and whether it is grave."""

    text: str
    link: str
    grave: bool = False


def page(visit: Visit) -> Response:
    """Show the overview."""
    app = visit.app
    waiting = app.store.waiting()
    counts = app.counts(exact=False)
    return visit.page(
        "overview.html",
        concerns=list(concerns(visit, counts[JobState.DEAD])),
        counts=counts,
        total=sum(counts.values()),
        depth=sum(each.number for each in waiting),
        oldest=_oldest(visit, waiting),
        running=app.list(state=ACTIVE, limit=_NEWEST),
        dead=app.list(state=JobState.DEAD, limit=_NEWEST),
        states=list(JobState),
    )


def concerns(visit: Visit, dead: int) -> Iterator[Concern]:
    """Give what needs attention, the grave first; `dead` jobs are among it."""
    for problem in find_problems(visit.app, _PATIENCE):
        path = _PAGES.get(problem.about, "/jobs")
        yield Concern(problem.text, visit.link(path), grave=True)
    if dead:
        text = "1 job is" if dead == 1 else f"{dead:,} jobs are"
        yield Concern(f"{text} dead: no tries are left", visit.link("/jobs", state="dead"), grave=True)
    for queue in visit.app.queues():
        if queue.paused:
            waits = queue.counts.get(JobState.PENDING, 0)
            yield Concern(f"queue {queue.name} is paused, {waits:,} pending in it", visit.link("/queues"))


def _oldest(visit: Visit, waiting: Sequence[Waiting]) -> str | None:
    """Say for how long the oldest due job has waited."""
    if not waiting:
        return None
    first = min(waiting, key=lambda each: each.since)
    return f"{seconds_text(max(visit.app.store.now() - first.since, 0) / SECOND)} in queue {first.queue}"
