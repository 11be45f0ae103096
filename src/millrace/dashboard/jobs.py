"""The list of jobs. Owns its filters and its paging; what matches is the app's to find."""

from __future__ import annotations

from starlette.responses import Response

from millrace.dashboard.form import Form
from millrace.dashboard.visit import Visit
from millrace.records import Page
from millrace.states import JobState

__all__ = ["MOST", "found_jobs", "page"]

MOST = 200  #: jobs on one page
_USUAL = 50
_CHOICES = (25, 50, 100, 200)


def page(visit: Visit) -> Response:
    """Show one page of jobs, newest first."""
    query, found = visit.query, found_jobs(visit)
    limit = _limit(query)
    states, cursor = query.many("state"), query.one("cursor")
    named = {name: query.one(name) for name in ("queue", "task", "tag", "unique_key")}
    kept = {**named, "state": states, "limit": None if limit == _USUAL else limit}
    registry = visit.app.registry
    return visit.page(
        "jobs.html",
        found=found,
        states=list(JobState),
        chosen=states,
        named=named,
        limit=limit,
        limits=sorted({*_CHOICES, limit}),
        tasks=sorted(registry.names),
        queues=sorted({spec.queue for spec in registry}),
        filtered=bool(states or any(named.values())),
        older=None if found.next_cursor is None else visit.link("/jobs", **kept, cursor=found.next_cursor),
        newest=None if cursor is None else visit.link("/jobs", **kept),
    )


def found_jobs(visit: Visit) -> Page:
    """Read the page of jobs that a query asks for: its filters, at most `MOST` jobs, from its cursor on."""
    query = visit.query
    return visit.app.list(
        state=query.many("state") or None,
        queue=query.one("queue"),
        task=query.one("task"),
        tag=query.one("tag"),
        unique_key=query.one("unique_key"),
        limit=_limit(query),
        cursor=query.one("cursor"),
    )


def _limit(query: Form) -> int:
    return query.number("limit", _USUAL, most=MOST)
