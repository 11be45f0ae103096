"""The description of `/api` in OpenAPI 3.1, made from the table of its addresses. Owns that form alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from millrace.states import JobState

__all__ = ["describe"]

_VERBS = {
    "/api/jobs/{id}/{verb:str}": ("retry", "cancel", "run", "delete"),
    "/api/queues/{verb:str}": ("pause", "resume"),
}
_FILTERS = ("queue", "task", "tag", "unique_key", "cursor")
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_ERROR = {
    "description": "What went wrong",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
_FORM = {
    "required": True,
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
        }
    },
}

Table = Mapping[str, Callable[..., object]]


def describe(views: Table, actions: Table, base: str) -> dict[str, Any]:
    """Describe the addresses of two tables: those that are read, and those that act.

    >>> def jobs() -> None:
    ...     '''Tell jobs.'''
    >>> described = describe({"/api/jobs": jobs}, {}, "/ops")
    >>> described["paths"]["/api/jobs"]["get"]["summary"], described["servers"]
    ('Tell jobs', [{'url': '/ops'}])
    """
    paths: dict[str, Any] = {path: {"get": _operation(path, view)} for path, view in views.items()}
    for path, view in actions.items():
        for shown in _spelt_out(path):
            paths[shown] = {"post": _operation(shown, view)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Millrace", "version": version("millrace")},
        "servers": [{"url": base or "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            }
        },
        "paths": paths,
    }


def _spelt_out(path: str) -> Iterator[str]:
    """Give an address once for each of its verbs."""
    for verb in _VERBS[path]:
        yield path.replace("{verb:str}", verb)


def _operation(path: str, view: Callable[..., object]) -> dict[str, Any]:
    summary = (view.__doc__ or "").split("\n", maxsplit=1)[0].rstrip(".")
    made: dict[str, Any] = {
        "summary": summary,
        "operationId": re.sub(r"\W+", "_", path.removeprefix("/api/")).strip("_"),
        "responses": {"200": {"description": "Done", "content": {"application/json": {}}}, "default": _ERROR},
    }
    if "{id}" in path:
        made["parameters"] = [_ID]
    elif path == "/api/jobs":
        made["parameters"] = list(_query())
    elif path.startswith("/api/queues/"):
        made["requestBody"] = _FORM
    return made


def _query() -> Iterator[dict[str, Any]]:
    states = {"type": "array", "items": {"type": "string", "enum": [state.value for state in JobState]}}
    yield {"name": "state", "in": "query", "schema": states}
    yield {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 50}}
    for name in _FILTERS:
        yield {"name": name, "in": "query", "schema": {"type": "string"}}
