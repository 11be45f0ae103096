"""The form to enqueue a job. Owns the fields made of a task's signature, and how what was typed is read."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import msgspec
from starlette.responses import Response

from millrace import NewJob
from millrace.cli.times import parse_duration
from millrace.dashboard.trouble import Trouble
from millrace.dashboard.visit import Visit
from millrace.errors import UnknownTask
from millrace.registry import TaskSpec

__all__ = ["Field", "act", "fields_of", "page"]

_PREFIX = "arg."  # of the names of fields that are arguments
_TEXTS = (str, str | None)


class Field(NamedTuple):
    """One argument: its name, what it takes in words, how it is typed ("text", "choice", "json"), its default."""

    name: str
    takes: str
    kind: str
    required: bool
    default: str = ""


def page(visit: Visit) -> Response:
    """Show the form: first the task, then its arguments."""
    if not visit.visitor.acts:
        raise Trouble(HTTPStatus.FORBIDDEN, "you may look, and not enqueue")
    registry, name = visit.app.registry, visit.query.one("task")
    spec = None if name is None else registry.get(name)
    if name is not None and spec is None and len(registry):
        raise UnknownTask(f"the app has no task {name!r}")
    fields = [] if spec is None else list(fields_of(spec))
    return visit.page(
        "enqueue.html",
        tasks=sorted(registry.names),
        task=name,
        spec=spec,
        fields=fields,
        hides=visit.hides,
        prefix=_PREFIX,
    )


def act(visit: Visit) -> Response:
    """Enqueue the job, and go to its page."""
    form, name = visit.form, visit.form.need("task")
    spec = visit.app.registry.get(name)
    if spec is None and len(visit.app.registry):
        raise UnknownTask(f"the app has no task {name!r}")
    args = _json_object(form.one("args")) if spec is None else dict(_typed(visit, spec))
    options: dict[str, Any] = {}
    if (queue := form.one("queue")) is not None:
        options["queue"] = queue
    if (priority := form.one("priority")) is not None:
        options["priority"] = _number("priority", priority)
    if (delay := form.one("delay")) is not None:
        options["delay"] = _delay(delay)
    job = visit.app.enqueue(NewJob(name, args, **options))
    return visit.go(f"/jobs/{job.id}", done="duplicate" if job.duplicate else "enqueued")


def fields_of(spec: TaskSpec) -> Iterator[Field]:
    """Make the fields of a task's form.

    >>> def send(to: str, copies: int = 1, urgent: bool = False) -> None: ...
    >>> [(field.name, field.kind, field.required) for field in fields_of(TaskSpec("send", send, run_in="thread"))]
    [('to', 'text', True), ('copies', 'json', False), ('urgent', 'choice', False)]
    """
    for field in msgspec.structs.fields(spec.arguments.struct):
        kind = "text" if field.type in _TEXTS else "choice" if field.type is bool else "json"
        default = "" if field.default is msgspec.NODEFAULT else repr(field.default)
        yield Field(field.name, _words(field.type), kind, field.required, default)


def _words(kind: Any) -> str:
    return "anything" if kind is Any else cast("str", getattr(kind, "__name__", "")) or str(kind).replace("typing.", "")


def _typed(visit: Visit, spec: TaskSpec) -> Iterator[tuple[str, Any]]:
    """Read the arguments; an empty field is left out, but a required text is the empty text."""
    for field in fields_of(spec):
        text = visit.form.one(f"{_PREFIX}{field.name}")
        if text is None:
            if field.required and field.kind == "text":
                yield field.name, ""
        else:
            yield field.name, text if field.kind == "text" else _loose(text)


def _loose(text: str) -> Any:
    """Read JSON where it is JSON, else text: a date or an id needs no quotes."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _json_object(text: str | None) -> dict[str, Any]:
    from millrace.cli.kinds import json_object

    try:
        return json_object(text or "{}")
    except ValueError as error:
        raise Trouble(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Trouble(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} {text!r} is not a whole number") from None


def _delay(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Trouble(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
