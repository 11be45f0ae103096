"""`millrace dashboard` as a process: where it listens, what it refuses, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.cli.conftest import Shop

Serve = Callable[..., "Server"]


class Server(subprocess.Popen[str]):
    """A `millrace dashboard`; its first line says where it is."""

    def __init__(self, shop: Shop, *words: str) -> None:
        super().__init__(
            [sys.executable, "-m", "millrace", "dashboard", *words],
            cwd=shop.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.stderr is not None
        self.line = self.stderr.readline()

    @property
    def url(self) -> str:
        found = re.search(r"on (http://127\.0\.0\.1:\d+);", self.line)
        assert found is not None, self.line
        return found[1]

    def end(self) -> tuple[int, str]:
        self.terminate()
        assert self.stderr is not None
        said = self.stderr.read()
        return self.wait(30), said


@pytest.fixture
def serve(shop: Shop) -> Iterator[Serve]:
    started: list[Server] = []

    def begin(*words: str) -> Server:
        started.append(Server(shop, *words))
        return started[-1]

    yield begin
    for server in started:
        server.kill()
        with server:
            pass


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    try:
        with urlopen(Request(url, headers=headers or {}), timeout=30) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_the_pages_on_loopback_and_ends_with_code_0(shop: Shop, serve: Serve, number: signal.Signals) -> None:
    id = shop.json("enqueue", "shop:app", "shop.add", '{"a": 2}')["id"]

    server = serve("shop:app", "--port", "0")

    assert "dashboard of sqlite:///jobs.db on http://127.0.0.1:" in server.line
    assert get(server.url)[0] == 200
    status, page = get(f"{server.url}/jobs/{id}")
    assert (status, "shop.add" in page) == (200, True)
    assert get(server.url, {"Host": "evil.example"})[0] == 403
    server.send_signal(number)
    assert server.wait(30) == 0
    assert server.end() == (0, "")


def test_an_open_page_hears_of_changes_and_does_not_keep_it_from_ending(shop: Shop, serve: Serve) -> None:
    server = serve("shop:app", "--port", "0")

    with urlopen(f"{server.url}/events", timeout=30) as stream:  # noqa: S310 - our own server
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.readline() == b"retry: 1000\n"
        shop.json("enqueue", "shop:app", "shop.add", '{"a": 2}')
        assert b"event: changed" in stream.readline() + stream.readline()
        server.terminate()
        assert server.wait(30) == 0
        assert stream.read().count(b"event:") <= 1  # it was ended, not cut


def test_a_store_alone_is_enough_and_a_token_is_asked_for(shop: Shop, serve: Serve) -> None:
    server = serve("--url", shop.url, "--port", "0", "--token", "sesame", "--read-only")

    assert "it asks for its token" in server.line
    assert get(server.url)[0] == 401
    assert get(server.url, {"Authorization": "Bearer sesame"})[0] == 200
    assert get(f"{server.url}/healthz") == (200, "ok\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "jobs.example"])  # noqa: S104 - to be refused
def test_another_address_without_a_token_is_refused(shop: Shop, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_DASHBOARD_TOKEN", raising=False)

    answer = shop.millrace("dashboard", "shop:app", "--host", host)

    assert answer.code == 2
    assert f"--host {host} is open to other machines" in answer.err


def test_an_address_that_cannot_be_had_is_told(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        answer = shop.millrace("dashboard", "shop:app", "--port", str(number))
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert f"--port {number}: another process listens there" in answer.err
    answer = shop.millrace("dashboard", "shop:app", "--host", "192.0.2.7", "--token", "sesame", "--port", "0")
    assert answer.code == 2
    assert "--host 192.0.2.7: cannot be listened on" in answer.err
