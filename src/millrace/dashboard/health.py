"""What machines ask: `/healthz`, open to probes, so it tells nothing more; and `/metrics`, for who may read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from millrace.backlog import Backlog
from millrace.errors import MillraceError
from millrace.metrics.text import CONTENT_TYPE, text_of

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["health", "metrics"]


def health(app: Millrace) -> Response:
    r"""Answer a probe.

    >>> from millrace import Millrace
    >>> health(Millrace("memory://")).body
    b'ok\n'
    """
    try:
        app.workers()
    except MillraceError:
        return PlainTextResponse("the store cannot be used\n", 503)
    return PlainTextResponse("ok\n")


def metrics(backlog: Backlog) -> Response:
    """Tell Prometheus what waits in the store; what workers do they tell themselves.

    >>> from millrace.stores import MemoryStore
    >>> b"millrace_store_up 1" in bytes(metrics(Backlog(MemoryStore)).body)
    True
    """
    return Response(text_of(backlog.read()), headers={"Content-Type": CONTENT_TYPE})
