"""Acting on many jobs at once: those that were ticked, or all that match. Owns what each verb asks for first."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from millrace.dashboard.jobs import MOST
from millrace.dashboard.trouble import Trouble, refusal
from millrace.dashboard.visit import Visit
from millrace.errors import DuplicateJob, InvalidTransition, JobNotFound
from millrace.states import CANCELLABLE

__all__ = ["change_matching", "change_selected"]

_FILTERS = ("state", "queue", "task", "tag")


def change_selected(visit: Visit) -> Response:
    """Retry, cancel or delete the jobs that were ticked; those whose state does not allow it are passed over."""
    app, verb, ids = visit.app, visit.form.need("verb"), visit.form.many("id")
    if not ids:
        raise Trouble(HTTPStatus.BAD_REQUEST, "no job is selected; tick some first")
    if len(ids) > MOST:
        raise Trouble(HTTPStatus.BAD_REQUEST, f"{len(ids)} jobs are too many to select; at most {MOST}")
    match verb:
        case "retry":
            number = sum(_done(app.retry, id) for id in ids)
        case "cancel":
            waiting = [id for id in ids if _cancellable(visit, id)]
            number = sum(_done(app.cancel, id) for id in waiting)
        case "delete":
            number = sum(_done(app.delete, id) for id in ids)
        case _:
            raise refusal(verb)
    return _back(visit, verb, number)


def change_matching(visit: Visit) -> Response:
    """Retry, cancel or delete everything that matches a filter, on this page and on all others."""
    app, form = visit.app, visit.form
    verb, states = form.need("verb"), form.many("state")
    queue, task, tag = form.one("queue"), form.one("task"), form.one("tag")
    if form.one("sure") is None:
        raise Trouble(HTTPStatus.BAD_REQUEST, "this changes all jobs that match, on all pages; tick that you are sure")
    if not states and (verb != "cancel" or (queue, task, tag) == (None, None, None)):
        raise Trouble(HTTPStatus.BAD_REQUEST, "choose the states first: without them it would be every job")
    match verb:
        case "retry":
            number = app.retry_all(state=states, queue=queue, task=task, tag=tag)
        case "cancel":
            number = app.cancel_all(state=states or None, queue=queue, task=task, tag=tag)
        case "delete":
            number = app.delete_all(state=states, queue=queue, task=task, tag=tag)
        case _:
            raise refusal(verb)
    return _back(visit, verb, number)


def _done(change: Callable[[str], Any], id: str) -> bool:
    """Change one of several; whether it was changed."""
    try:
        change(id)
    except (DuplicateJob, InvalidTransition, JobNotFound):
        return False
    return True


def _cancellable(visit: Visit, id: str) -> bool:
    """Tell whether a job can be cancelled: `cancel` returns one that has ended as if it had been."""
    try:
        return visit.app.get(id).state in CANCELLABLE
    except JobNotFound:
        return False


def _back(visit: Visit, verb: str, number: int) -> Response:
    """Go back to the list, with the same filter."""
    kept = {name: visit.form.many(name) for name in _FILTERS}
    return visit.go("/jobs", **kept, done=f"{verb}-many", number=number)
