"""The port on which a worker tells of itself: `/metrics` for Prometheus, `/healthz` for probes. Owns the HTTP of it.

What is told comes from outside: of one worker, or of all that a supervisor looks after.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

from millrace.errors import ConfigurationError
from millrace.metrics.readings import Readings
from millrace.metrics.text import CONTENT_TYPE, text_of
from millrace.worker.telling import LOGGER

__all__ = ["MetricsPort"]

_PLAIN = "text/plain; charset=utf-8"
_PATIENCE = 5.0  # seconds that a client may take for its request, or to read the answer
_POLL = 0.05  # seconds within which the port closes


class MetricsPort:
    r"""A port of this machine that answers while it is open; opening it is all that can fail.

    Args:
        host: The address to listen on.
        port: 0 takes one that is free; `url` tells which.
        read: Returns what `/metrics` tells.
        complaints: Returns why `/healthz` is red, in a sentence each.

    Raises:
        ConfigurationError: The port is taken, not permitted, or the address is not this machine's.

    >>> from urllib.request import urlopen
    >>> with MetricsPort("127.0.0.1", 0, Readings, list) as port:
    ...     urlopen(port.url + "/healthz").read()
    b'ok\n'
    """

    def __init__(
        self, host: str, port: int, read: Callable[[], Readings], complaints: Callable[[], Sequence[str]]
    ) -> None:
        class Handler(_Handler):
            pages = {"/metrics": lambda: _metrics(read), "/healthz": lambda: _health(complaints)}  # noqa: RUF012

        kind = _Server6 if ":" in host else _Server
        try:
            self._server = kind((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(_refusal(host, port, error)) from error
        number = self._server.server_address[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{number}"  #: without a path
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL,), name="millrace-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and give the port back; what is being answered is finished."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


Page = tuple[int, str, str]  # status, type, text


def _metrics(read: Callable[[], Readings]) -> Page:
    return 200, CONTENT_TYPE, text_of(read())


def _health(complaints: Callable[[], Sequence[str]]) -> Page:
    told = complaints()
    return (503 if told else 200), _PLAIN, "".join(f"{line}\n" for line in told or ["ok"])


def _refusal(host: str, port: int, error: Exception) -> str:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"--metrics-port {port}: another process listens there; give another port, or 0 for any free one"
        case errno.EACCES:
            return f"--metrics-port {port}: this user may not listen there; give one above 1023, or 0 for any free one"
        case errno.EADDRNOTAVAIL:
            return f"--metrics-host {host}: no address of this machine; give 127.0.0.1, or 0.0.0.0 for all of them"
        case _:
            return f"--metrics-host {host} --metrics-port {port}: cannot be listened on ({error}); give another one"


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for what is being answered
    allow_reuse_address = True  # a port that was just given back is free

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep a client that went away out of the log; anything else is a fault of ours, and told."""
        del request, client_address
        LOGGER.debug("a request for metrics could not be answered", exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    pages: dict[str, Callable[[], Page]]

    def do_GET(self) -> None:
        """Answer."""
        self._answer(self._page())

    def do_HEAD(self) -> None:
        """Answer without the text."""
        self._answer(self._page(), text=False)

    def _page(self) -> Page:
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            return 404, _PLAIN, "there are /metrics and /healthz\n"
        try:
            return page()
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told, and the port stays open
            LOGGER.exception("%s could not be told", self.path)
            return 500, _PLAIN, f"{type(error).__name__}: see the worker's log\n"

    def _answer(self, page: Page, *, text: bool = True) -> None:
        status, kind, content = page
        data = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if text:
            self.wfile.write(data)

    def version_string(self) -> str:
        """Name no versions."""
        return "millrace"

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests: there is one every few seconds, and none is news."""
