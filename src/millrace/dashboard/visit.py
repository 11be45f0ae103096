"""One request to a page: who asks for what, and the ways to answer. Owns links and the making of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from millrace.cli.times import ago, seconds_text, until
from millrace.clock import to_datetime
from millrace.dashboard.access import Visitor
from millrace.dashboard.assets import assets
from millrace.dashboard.form import Form
from millrace.dashboard.paper import paper
from millrace.dashboard.redaction import Redaction, shape
from millrace.dashboard.tally import Counted, Tally

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["DONE", "View", "Visit", "refused_page"]

#: What is told on the page that follows an action.
DONE: Mapping[str, str] = {
    "enqueued": "The job is enqueued.",
    "duplicate": "Nothing was enqueued: this job holds the unique key already.",
    "retry": "The job is pending again.",
    "cancel": "The job is cancelled, or told to stop where it runs.",
    "run": "The job is due now.",
    "delete": "The job is deleted.",
    "paused": "The queue is paused: nothing more is claimed from it.",
    "resumed": "The queue is claimed from again.",
    "schedule-paused": "The schedule is paused.",
    "schedule-resumed": "The schedule ticks again.",
    "schedule-run": "The schedule's job is enqueued.",
    "schedule-delete": "The schedule is deleted; jobs that it has made stay.",
}

#: The same of actions on many, with their number.
DONE_MANY: Mapping[str, str] = {
    "retry-many": "Pending again: {}.",
    "cancel-many": "Cancelled, or told to stop: {}.",
    "delete-many": "Deleted: {}.",
}


class Visit:
    """A visitor's request.

    Args:
        app: Whose dashboard it is.
        redaction: What is hidden.
        request: As Starlette has it.
        visitor: Who asks.
        form: What was filled in; empty but for a POST.
        tally: What is counted over all jobs.
    """

    def __init__(
        self, app: Millrace, redaction: Redaction, request: Request, visitor: Visitor, form: Form, *, tally: Tally
    ) -> None:
        self.app = app
        self.tally = tally
        self.visitor = visitor
        self.form = form
        self.query = Form(request.query_params.multi_items())
        self.parameters: Mapping[str, str] = request.path_params
        self._redaction = redaction
        self.base: str = request.scope.get("root_path", "").rstrip("/")

    @cached_property
    def now(self) -> datetime:
        """The store's time, the same all over a page."""
        return to_datetime(self.app.store.now())

    @cached_property
    def counted(self) -> Counted:
        """What is counted over all jobs, the same all over a page."""
        return self.tally.read()

    # -- answers

    def page(self, template: str, /, *, status: int = HTTPStatus.OK, **values: Any) -> Response:
        """Write a page."""
        text = paper().get_template(template).render(visit=self, done=self._done(), **values)
        return HTMLResponse(text, status)

    def _done(self) -> str | None:
        """Return the sentence about the action that led here."""
        what = self.query.one("done") or ""
        number = self.query.one("number") or ""
        if what in DONE_MANY and number.isascii() and number.isdecimal():
            return DONE_MANY[what].format("no job" if number == "0" else "1 job" if number == "1" else f"{number} jobs")
        return DONE.get(what)

    def go(self, path: str, /, **query: object) -> Response:
        """Send the browser to a page, after an action."""
        return RedirectResponse(self.link(path, **query), HTTPStatus.SEE_OTHER)

    def link(self, path: str, /, **query: object) -> str:
        """Write the address of a page of ours, wherever we are mounted; None and the empty text are left out."""
        pairs = [
            (name, str(each)) for name, value in query.items() for each in _several(value) if each not in {None, ""}
        ]
        return f"{self.base}{path}{'?' if pairs else ''}{urlencode(pairs)}"

    def asset(self, name: str) -> str:
        """Write the address of a file of ours."""
        return f"{self.base}/static/{assets()[name].digest}/{name}"

    # -- how values look

    def value(self, value: Any) -> Any:
        """Return what this visitor may see of a JSON value."""
        kept = self._redaction.shown(value)
        return kept if self.visitor.sees_values else shape(kept)

    def restored(self, given: Any, kept: Any) -> Any:
        """Return what was typed, with what was hidden from the visitor put in again."""
        return self._redaction.restored(given, kept)

    def hides(self, name: str) -> bool:
        """Tell whether an argument of this name is hidden."""
        return self._redaction.hides(name)

    def ago(self, at: datetime | None) -> str:
        """Write how long ago a time was."""
        return "-" if at is None else f"{ago(at, self.now)} ago"

    def until(self, at: datetime | None) -> str:
        """Write how far ahead a time is."""
        return until(at, self.now) or "-"

    @staticmethod
    def span(began: datetime | None, ended: datetime | None) -> str:
        """Write how long something took; the empty text where that is not known."""
        if began is None or ended is None:
            return ""
        return seconds_text(max((ended - began).total_seconds(), 0.0))


View = Callable[[Visit], Response]


def refused_page(status: int, sentence: str) -> HTMLResponse:
    """Write the page for somebody who is not let in; it tells nothing of the app."""
    text = paper().get_template("refused.html").render(status=HTTPStatus(status), sentence=sentence)
    return HTMLResponse(text, status)


def _several(value: object) -> Iterable[object]:
    return cast("Iterable[object]", value) if isinstance(value, (list, tuple)) else (value,)
