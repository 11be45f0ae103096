"""The same as the pages, as JSON: for scripts. Owns the shapes of the answers; hides what the pages hide."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from millrace.cli.record import job_record, plain, queue_record, worker_record
from millrace.dashboard import actions
from millrace.dashboard.jobpage import job_id
from millrace.dashboard.jobs import found_jobs
from millrace.dashboard.openapi import describe
from millrace.dashboard.overview import concerns
from millrace.dashboard.trouble import Told
from millrace.dashboard.visit import View, Visit
from millrace.job import Job
from millrace.records import LogLine, QueueInfo

__all__ = ["ACTIONS", "VIEWS", "json_response", "refused_json"]

_KIND = "application/json"


def json_response(value: object, status: int = 200) -> Response:
    """Write an answer.

    >>> json_response({"a": 1}).body
    b'{"a":1}'
    """
    return Response(msgspec.json.encode(value), status, media_type=_KIND)


def refused_json(wrong: Told) -> Response:
    """Write what went wrong."""
    return json_response({"error": wrong.sentence}, wrong.status)


def overview(visit: Visit) -> Response:
    """Tell counts by state, what waits, and what needs attention; when that was counted, null where it never was."""
    counted = visit.counted
    return json_response(
        {
            "counts": counted.counts,
            "depth": sum(each.number for each in counted.waiting),
            "concerns": [{"text": each.text, "grave": each.grave} for each in concerns(visit)],
            "counted_at": counted.at,
        }
    )


def jobs(visit: Visit) -> Response:
    """Tell one page of jobs, and the cursor of the next."""
    found = found_jobs(visit)
    return json_response({"jobs": [_job(visit, each) for each in found], "next_cursor": found.next_cursor})


def job(visit: Visit) -> Response:
    """Tell a job with its attempts and its log."""
    id = job_id(visit)
    return json_response(
        _job(visit, visit.app.get(id))
        | {
            "attempts": [plain(each) for each in visit.app.attempts(id)],
            "logs": [_line(visit, each) for each in visit.app.logs(id)],
        }
    )


def queues(visit: Visit) -> Response:
    """Tell the queues."""
    return json_response([queue_record(each) for each in visit.counted.queues])


def workers(visit: Visit) -> Response:
    """Tell the workers."""
    return json_response([worker_record(each) for each in visit.app.workers()])


def schedules(visit: Visit) -> Response:
    """Tell the schedules."""
    return json_response([plain(each) | {"args": visit.value(each.args)} for each in visit.app.schedules.list()])


def change_job(visit: Visit) -> Response:
    """Act on a job, and tell it as it now is; a deleted one as it was."""
    return json_response(_job(visit, actions.changed_job(visit)))


def change_queue(visit: Visit) -> Response:
    """Pause or resume a queue."""
    actions.change_queue(visit)
    name = visit.form.need("name")
    found = (each for each in visit.counted.queues if each.name == name)
    return json_response(queue_record(next(found, QueueInfo(name))))


def openapi(visit: Visit) -> Response:
    """Describe these addresses in OpenAPI."""
    return json_response(describe(VIEWS, ACTIONS, visit.base))


VIEWS: dict[str, View] = {
    "/api/overview": overview,
    "/api/jobs": jobs,
    "/api/jobs/{id}": job,
    "/api/queues": queues,
    "/api/workers": workers,
    "/api/schedules": schedules,
    "/api/openapi.json": openapi,
}
ACTIONS: dict[str, View] = {"/api/jobs/{id}/{verb:str}": change_job, "/api/queues/{verb:str}": change_queue}


def _job(visit: Visit, job: Job[Any]) -> dict[str, Any]:
    shown = job_record(job) | {"args": visit.value(job.args), "result": visit.value(job.result)}
    if not visit.visitor.sees_values:
        shown["unique_key"] = None
    return shown


def _line(visit: Visit, line: LogLine) -> dict[str, Any]:
    return plain(line) | {"data": visit.value(line.data)}
