"""Streams that tell a page to look again, as server-sent events. Owns when they tell it, and that they end.

They carry no data: what has changed, and whether a visitor may see it, is for the page, which is fetched anew. They
tell of the store's hints, merged, and now and then without one, since a hint may be missing. Each lasts for a while
only and is opened again by the browser, so that a server which is to stop does not wait long for an open page.

The form is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from millrace.errors import MillraceError

if TYPE_CHECKING:
    from millrace import Millrace
    from millrace.store import Subscription

__all__ = ["CHANGED", "Streams"]

CHANGED = b"event: changed\ndata: 1\n\n"  #: without data browsers would pass over it
_AGAIN = b"retry: 1000\n\n"  # milliseconds after which a browser opens a stream again
_SPACING = 1.0  # seconds between two
_TICK, _QUICK_TICK = 5.0, 1.0  # seconds without a hint; the short one for a job that runs
_LIFE = 20.0  # seconds
_MOST = 100  # open ones


class Streams:
    """The open streams of one dashboard.

    >>> from millrace import Millrace
    >>> Streams(Millrace("memory://")).answer(quick=False).media_type
    'text/event-stream'
    """

    def __init__(self, app: Millrace) -> None:
        self._app = app
        self._wakers: set[Callable[[], None]] = set()
        self._closed = False

    def answer(self, *, quick: bool) -> Response:
        """Open a stream.

        Args:
            quick: It tells each second even where no hint comes.
        """
        if self._closed or len(self._wakers) >= _MOST:
            return PlainTextResponse("no more streams\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return StreamingResponse(
            self._told(_QUICK_TICK if quick else _TICK),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},  # or a proxy would keep them back
        )

    def close(self) -> None:
        """End all streams and open no more; from any thread, and from a signal's handler."""
        self._closed = True
        for wake in list(self._wakers):
            wake()

    async def _told(self, tick: float) -> AsyncIterator[bytes]:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(woken.set)

        watch: Subscription | None = None
        self._wakers.add(wake)
        try:
            with suppress(MillraceError):  # the page itself will say so
                watch = await run_in_threadpool(self._app.store.watch, wake)
            yield _AGAIN
            ends = loop.time() + _LIFE
            while not self._closed and loop.time() < ends:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), tick)
                woken.clear()
                if not self._closed:
                    yield CHANGED
                    await asyncio.sleep(_SPACING)
        finally:
            self._wakers.discard(wake)
            if watch is not None:
                watch.close()
