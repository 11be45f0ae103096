"""Failed and dead jobs by what went wrong. Owns the grouping by class of error, task and place; looks at the newest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from millrace.dashboard.trouble import refusal
from millrace.dashboard.visit import Visit
from millrace.job import Job
from millrace.states import JobState

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["Group", "act", "error_class", "grouped", "page", "place_of"]

_LOOKED_AT = 2000  # jobs: as many as can be read without holding up the page
_MOST_GROUPS = 50
_FRAME = re.compile(r'^\s*File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
_FOLDERS = re.compile(r"^.*[/\\]")


@dataclass(slots=True)
class Group:
    """Jobs of one task that ended in the same way; `newest` is the one told of."""

    error: str
    task: str
    newest: Job[Any]
    dead: int = 0
    failed: int = 0
    place: str | None = None

    def take(self, job: Job[Any]) -> None:
        """Count one."""
        if job.state is JobState.DEAD:
            self.dead += 1
        else:
            self.failed += 1


def page(visit: Visit) -> Response:
    """Show what goes wrong, the most frequent first."""
    found = visit.app.iter(state=(JobState.DEAD, JobState.FAILED))
    jobs = list(islice(found, _LOOKED_AT + 1))
    groups = grouped(jobs[:_LOOKED_AT])
    shown = groups[:_MOST_GROUPS]
    for group in shown:
        group.place = _place(visit.app, group.newest)
    return visit.page(
        "failures.html",
        groups=shown,
        looked_at=_LOOKED_AT if len(jobs) > _LOOKED_AT else None,
        left_out=len(groups) - len(shown),
    )


def act(visit: Visit) -> Response:
    """Retry or delete all dead jobs of one class of error and one task."""
    verb, error, task = visit.parameters["verb"], visit.form.need("error"), visit.form.need("task")
    match verb:
        case "retry":
            number = visit.app.retry_all(error=error, task=task)
        case "delete":
            number = visit.app.delete_all(state=JobState.DEAD, error=error, task=task)
        case _:
            raise refusal(verb)
    return visit.go("/failures", done=f"{verb}-many", number=number)


def grouped(jobs: Iterable[Job[Any]]) -> list[Group]:
    """Put jobs together by class of error and task, the largest group first.

    >>> from millrace.job import JobRow
    >>> row = JobRow(
    ...     ref=1, id=bytes(16), task="add", queue="q", args=b"{}", state=JobState.DEAD, error="ValueError: no"
    ... )
    >>> [(group.error, group.dead, group.failed) for group in grouped([Job(row), Job(row)])]
    [('ValueError', 2, 0)]
    """
    groups: dict[tuple[str, str], Group] = {}
    for job in jobs:
        key = error_class(job), job.task
        groups.setdefault(key, Group(*key, newest=job)).take(job)
    return sorted(groups.values(), key=lambda group: -(group.dead + group.failed))


def error_class(job: Job[Any]) -> str:
    """Return the class name of a job's last error; the empty text where it has none.

    >>> from millrace.job import JobRow
    >>> error_class(Job(JobRow(ref=1, id=bytes(16), task="add", queue="q", args=b"{}", error="KeyError: 'to'")))
    'KeyError'
    """
    return (job.error or "").partition(":")[0]


def place_of(traceback: str) -> str | None:
    r"""Return where a traceback ends, or None where it names no place.

    >>> place_of('Traceback:\n  File "/app/shop.py", line 7, in send\n    raise KeyError\n')
    'shop.py:7 in send'
    """
    frames = list(_FRAME.finditer(traceback))
    return f"{_FOLDERS.sub('', frames[-1][1])}:{frames[-1][2]} in {frames[-1][3]}" if frames else None


def _place(app: Millrace, job: Job[Any]) -> str | None:
    tracebacks: Iterator[str] = (each.traceback for each in reversed(app.attempts(job.id)) if each.traceback)
    newest = next(tracebacks, None)
    return None if newest is None else place_of(newest)
