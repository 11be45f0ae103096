"""`millrace dashboard`: serve the dashboard. Owns its options, where it may listen, and its end on a signal."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from millrace.cli.command import command, url_option, words
from millrace.cli.output import say
from millrace.cli.target import opened, split_words
from millrace.errors import ConfigurationError

if TYPE_CHECKING:
    from types import FrameType

    from millrace import Millrace
    from millrace.dashboard import Dashboard

__all__ = ["dashboard"]

_GRACE = 5  # seconds for what is being answered, once a signal has come


@command(
    "dashboard",
    examples="""\
millrace dashboard tasks:app
millrace dashboard --url sqlite:///jobs.db --port 9000 --read-only
millrace dashboard tasks:app --host 0.0.0.0 --token TEXT""",
)
@words("[APP]")
@url_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, metavar="N", help="0 takes a free one."
)
@click.option(
    "--token", metavar="TEXT", help="Who sends it operates. Better in MILLRACE_DASHBOARD_TOKEN: others see options."
)
@click.option("--read-only", is_flag=True, help="Nobody may change anything.")
@click.option("--redact", multiple=True, metavar="NAME", help="Hide arguments of this name too (repeatable).")
def dashboard(words: tuple[str, ...], url: str | None, *, host: str, port: int, **options: Any) -> int:
    """Serve the dashboard until SIGTERM or Ctrl-C.

    On a loopback address, without a token, whoever is on this machine may operate. Any other address needs a token,
    sent as Bearer or as a password with any user name.
    """
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        made = app.dashboard(token=options["token"], read_only=options["read_only"], redact=options["redact"])
        _refuse_open_house(made, host)
        return _serve(app, made, host, port)


def _refuse_open_house(made: Dashboard, host: str) -> None:
    from millrace.dashboard.hosts import is_loopback

    if made.is_open and not is_loopback(host):
        raise ConfigurationError(
            f"--host {host} is open to other machines, and nothing says who may come in; "
            "set MILLRACE_DASHBOARD_TOKEN, or listen on 127.0.0.1"
        )


def _serve(app: Millrace, made: Dashboard, host: str, port: int) -> int:
    import uvicorn

    class Server(uvicorn.Server):
        """Ends the streams of open pages once a signal has come, and then waits for answers."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            made.close()
            super().handle_exit(sig, frame)

    with _listening(host, port) as listener:
        server = Server(
            uvicorn.Config(
                made,
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # what a proxy says of a visitor is no proof of where they are
                timeout_graceful_shutdown=_GRACE,
            )
        )
        number = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        who = "whoever is on this machine may come in" if made.is_open else "it asks for its token"
        say(f"dashboard of {app.store.url} on http://{shown}:{number}; {who}", to_stderr=True)
        with _ending_quietly(server):
            asyncio.run(server.serve(sockets=[listener]))
    return 0


@contextmanager
def _ending_quietly(server: Any) -> Generator[None, None, None]:
    """Let a signal end the server and not the process: the server raises it once more when it is done."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        server.should_exit = True

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket, None, None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(_refusal(host, port, error)) from error
    with listener:
        yield listener


def _refusal(host: str, port: int, error: Exception) -> str:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"--port {port}: another process listens there; give another port, or 0 for any free one"
        case errno.EACCES:
            return f"--port {port}: this user may not listen there; give one above 1023, or 0 for any free one"
        case _:
            return f"--host {host}: cannot be listened on ({error}); give 127.0.0.1, or an address of this machine"
