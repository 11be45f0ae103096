"""What buttons do: one verb of the app each, then back to a page that says so. Owns which verbs there are."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.responses import Response

from millrace.cli.kinds import json_object
from millrace.dashboard.jobpage import job_id
from millrace.dashboard.trouble import Trouble, refusal
from millrace.dashboard.visit import Visit
from millrace.job import Job

__all__ = ["change_job", "change_queue", "change_schedule", "changed_job"]


def change_job(visit: Visit) -> Response:
    """Retry, cancel, run now or delete a job, or retry it with other arguments."""
    job, verb = changed_job(visit), visit.parameters["verb"]
    if verb == "delete":
        return visit.go("/jobs", done=verb)
    return visit.go(f"/jobs/{job.id}", done="retry" if verb == "edit" else verb)


def changed_job(visit: Visit) -> Job[Any]:
    """Do what the address asks for, and return the job as it now is; a deleted one as it was."""
    app, id, verb = visit.app, job_id(visit), visit.parameters["verb"]
    match verb:
        case "retry":
            return app.retry(id)
        case "edit":
            return _edited(visit, id)
        case "cancel":
            return app.cancel(id)
        case "run":
            return app.reschedule(id, run_at=visit.now)
        case "delete":
            return app.delete(id)
        case _:
            raise refusal(verb)


def change_queue(visit: Visit) -> Response:
    """Pause or resume a queue, which the field `name` names."""
    verb = visit.parameters["verb"]
    match verb:
        case "pause":
            name = visit.form.need("name")
            visit.app.pause(name)
            visit.tally.note(name, paused=True)
            return visit.go("/queues", done="paused")
        case "resume":
            name = visit.form.need("name")
            visit.app.resume(name)
            visit.tally.note(name, paused=False)
            return visit.go("/queues", done="resumed")
        case _:
            raise refusal(verb)


def change_schedule(visit: Visit) -> Response:
    """Pause, resume, run or delete a schedule, which the field `name` names."""
    verb, schedules = visit.parameters["verb"], visit.app.schedules
    match verb:
        case "pause":
            schedules.pause(visit.form.need("name"))
            return visit.go("/schedules", done="schedule-paused")
        case "resume":
            schedules.resume(visit.form.need("name"))
            return visit.go("/schedules", done="schedule-resumed")
        case "run":
            job = schedules.run_now(visit.form.need("name"))
            return visit.go(f"/jobs/{job.id}", done="schedule-run")
        case "delete":
            schedules.delete(visit.form.need("name"))
            return visit.go("/schedules", done="schedule-delete")
        case _:
            raise refusal(verb)


def _edited(visit: Visit, id: UUID) -> Job[Any]:
    """Retry a job with the arguments of the form; what was hidden there, and left so, stays as it is."""
    try:
        given = json_object(visit.form.need("args"))
    except ValueError as error:
        raise Trouble(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    return visit.app.retry(id, visit.restored(given, visit.app.get(id).args))
