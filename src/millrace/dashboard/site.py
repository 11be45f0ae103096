"""The dashboard as an ASGI app. Owns its addresses, and the way of each request: door, origin, role, page."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from millrace import checks
from millrace.backlog import Backlog
from millrace.dashboard import (
    actions,
    api,
    enqueue,
    failures,
    health,
    jobpage,
    jobs,
    many,
    overview,
    queues,
    schedules,
    workers,
)
from millrace.dashboard.access import Authorize, Doorkeeper, Refusal, Visitor
from millrace.dashboard.assets import assets
from millrace.dashboard.form import Form, read_form
from millrace.dashboard.headers import with_headers
from millrace.dashboard.live import Streams
from millrace.dashboard.origin import foreign
from millrace.dashboard.redaction import Redaction
from millrace.dashboard.tally import Tally
from millrace.dashboard.trouble import Told, Trouble, told
from millrace.dashboard.visit import View, Visit, refused_page

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["TOKEN_VARIABLE", "Dashboard"]

TOKEN_VARIABLE = "MILLRACE_DASHBOARD_TOKEN"  # noqa: S105 - the name of the variable that holds it
_LOGGER = logging.getLogger("millrace.dashboard")
_VISITOR = "millrace.visitor"  # the key of a request's scope
_FOREVER = "public, max-age=31536000, immutable"

Troubled = Callable[[Visit, Told], Response]  #: writes what went wrong

_PAGES: dict[str, View] = {
    "/": overview.page,
    "/jobs": jobs.page,
    "/jobs/{id}": jobpage.page,
    "/failures": failures.page,
    "/queues": queues.page,
    "/workers": workers.page,
    "/schedules": schedules.page,
    "/enqueue": enqueue.page,
}
_ACTIONS: dict[str, View] = {
    "/jobs/selected": many.change_selected,
    "/jobs/matching": many.change_matching,
    "/jobs/{id}/{verb:str}": actions.change_job,
    "/queues/{verb:str}": actions.change_queue,
    "/failures/{verb:str}": failures.act,
    "/enqueue": enqueue.act,
    "/schedules/{verb:str}": actions.change_schedule,
}


class Dashboard:
    """An ASGI app to mount under FastAPI or Starlette at any path, or to serve by itself.

    Args:
        app: Whose jobs it shows.
        token: Who sends it operates; None reads MILLRACE_DASHBOARD_TOKEN.
        authorize: The host app's check.
        read_only: Nobody may act.
        redact: Names of arguments to hide, beside those that are hidden in any case.

    Raises:
        ConfigurationError: One of them is not acceptable.

    >>> from starlette.testclient import TestClient
    >>> from millrace import Millrace
    >>> dashboard = Dashboard(Millrace("memory://"), token="sesame")
    >>> TestClient(dashboard).get("/").status_code
    401
    >>> TestClient(dashboard, headers={"Authorization": "Bearer sesame"}).get("/").is_success
    True
    """

    def __init__(
        self,
        app: Millrace,
        *,
        token: str | None = None,
        authorize: Authorize | None = None,
        read_only: bool = False,
        redact: Iterable[str] = (),
    ) -> None:
        if token is None:
            token = os.environ.get(TOKEN_VARIABLE) or None
        self._app = app
        self._redaction = Redaction(redact)
        self._door = Doorkeeper(token=token, authorize=authorize, read_only=checks.flag("read_only", read_only))
        self._backlog = Backlog(lambda: app.store)
        self._tally = Tally(app)
        self._streams = Streams(app)
        self._inner = Starlette(routes=[*self._routes()])

    @property
    def is_open(self) -> bool:
        """Whether it has neither token nor check, and so answers on this machine alone."""
        return self._door.is_open

    def _routes(self) -> Iterable[Route]:
        yield Route("/healthz", self._health)
        yield Route("/metrics", self._metrics)
        yield Route("/events", self._events)
        yield Route("/static/{digest}/{name}", _asset)
        for path, view in _PAGES.items():
            yield Route(path, self._answering(view, _troubled))
        for path, view in _ACTIONS.items():
            yield Route(path, self._answering(view, _troubled), methods=["POST"])
        for path, view in api.VIEWS.items():
            yield Route(path, self._answering(view, _troubled_json))
        for path, view in api.ACTIONS.items():
            yield Route(path, self._answering(view, _troubled_json), methods=["POST"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)  # it knows what is to be said to all else
            return
        request = Request(scope)
        answer: Callable[[Scope, Receive, Send], Awaitable[None]] = self._inner
        if _path(scope) != "/healthz":
            admitted = await self._admitted(request)
            if isinstance(admitted, Response):
                answer = admitted
            else:
                scope = {**scope, _VISITOR: admitted}
        await answer(scope, receive, with_headers(send))

    async def _admitted(self, request: Request) -> Visitor | Response:
        """Let a request in, or answer it at the door."""
        try:
            visitor = await self._door.admit(request)
        except HTTPException as error:  # the host app's own way to refuse, or to send to its login
            return PlainTextResponse(error.detail, error.status_code, dict(error.headers or {}))
        except Exception:
            _LOGGER.exception("authorize() of the dashboard has failed, so nobody is let in")
            return _refused(request, 500, "the check of who may come in has failed; the log of the server says why")
        if isinstance(visitor, Refusal):
            page = _refused(request, visitor.status, visitor.sentence)
            if visitor.challenge:
                page.headers["WWW-Authenticate"] = 'Basic realm="Millrace", charset="UTF-8"'
            return page
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            return visitor
        why = None if visitor.by_bearer else foreign(request)
        if why is not None:
            return _refused(request, 403, f"nothing was changed: {why}")
        if not visitor.acts:
            return _refused(request, 403, "nothing was changed: you may look, and not act")
        return visitor

    def _answering(self, view: View, troubled: Troubled) -> Callable[[Request], Awaitable[Response]]:
        """Make a view an endpoint: it runs in a thread, since the store blocks."""

        async def answer(request: Request) -> Response:
            visitor: Visitor = request.scope[_VISITOR]
            form, wrong = Form(), None
            if request.method == "POST":
                try:
                    form = await read_form(request)
                except Trouble as error:
                    wrong = error.told
            visit = Visit(self._app, self._redaction, request, visitor, form, tally=self._tally)
            return await run_in_threadpool(_viewed, view, visit, troubled, wrong)

        return answer

    def close(self) -> None:
        """End the streams that keep open pages up to date; they end by themselves within 20 s.

        A server that waits for all answers before it stops is quicker when it calls this first.
        """
        self._streams.close()

    async def _events(self, request: Request) -> Response:
        return self._streams.answer(quick="quick" in request.query_params)

    async def _health(self, request: Request) -> Response:
        del request
        return await run_in_threadpool(health.health, self._app)

    async def _metrics(self, request: Request) -> Response:
        del request
        return await run_in_threadpool(health.metrics, self._backlog)


def _viewed(view: View, visit: Visit, troubled: Troubled, wrong: Told | None) -> Response:
    """Make the answer; what goes wrong is one too."""
    try:
        if wrong is None:
            return view(visit)
    except Exception as error:  # whatever it is, who asked is told, and the others are served
        wrong = told(error)
        if wrong is None:
            _LOGGER.exception("a page of the dashboard could not be made")
            wrong = Told(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of ours; the log of the server says more")
    return troubled(visit, wrong)


def _troubled(visit: Visit, wrong: Told) -> Response:
    return visit.page("trouble.html", status=wrong.status, wrong=wrong)


def _troubled_json(visit: Visit, wrong: Told) -> Response:
    del visit
    return api.refused_json(wrong)


def _refused(request: Request, status: int, sentence: str) -> Response:
    """Answer at the door, as a page or as JSON."""
    if _path(request.scope).startswith("/api/"):
        return api.refused_json(Told(HTTPStatus(status), sentence))
    return refused_page(status, sentence)


def _path(scope: Scope) -> str:
    """Return the path below the one that we are mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


async def _asset(request: Request) -> Response:
    name: str = request.path_params["name"]
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    newest = request.path_params["digest"] == asset.digest
    return Response(asset.data, media_type=asset.kind, headers={"Cache-Control": _FOREVER if newest else "no-cache"})
