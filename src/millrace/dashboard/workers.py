"""The page of the workers: who reports, and what each runs now. Owns how running jobs are put to their workers."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from millrace.cli.workers import ALIVE_SECONDS
from millrace.dashboard.visit import Visit
from millrace.job import Job
from millrace.records import WorkerInfo
from millrace.states import ACTIVE

__all__ = ["page"]

_MOST = 200


def page(visit: Visit) -> Response:
    """Show the workers."""
    found = visit.app.list(state=ACTIVE, limit=_MOST)
    running: dict[str | None, list[Job[Any]]] = {}
    for job in found:
        running.setdefault(job.worker, []).append(job)
    workers = visit.app.workers()
    known = {each.id for each in workers}
    return visit.page(
        "workers.html",
        workers=[(each, _alive(visit, each), running.get(each.id, [])) for each in reversed(workers)],
        strays=[job for job in found if job.worker not in known],
        more=found.next_cursor is not None,
    )


def _alive(visit: Visit, worker: WorkerInfo) -> bool:
    return (visit.now - worker.seen_at).total_seconds() < ALIVE_SECONDS
