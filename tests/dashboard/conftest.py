"""An app with a few jobs, and visitors of its dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.testclient import TestClient

from millrace import Backoff, Millrace, current_job

HOME = "http://localhost"
OURS = {"Origin": HOME}


class House:
    """The app, and its visitors."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.app = app = stack.enter_context(Millrace("memory://"))

        @app.task(name="shop.add", tags=("sums",))
        def add(a: int, b: int = 1) -> int:
            current_job().log.info("adding", a=a)
            return a + b

        @app.task(name="shop.send", queue="mail", max_attempts=2, retry=Backoff.fixed(0))
        def send(to: str, password: str = "") -> None:
            current_job().log.warning("no route yet", to=to, api_key="k-123")
            raise ConnectionError(f"no route to {to}")

        self.add = add
        self.send = send

    def visitor(
        self, *, site: Any = None, headers: dict[str, str] | None = None, base: str = HOME, peer: str = "127.0.0.1"
    ) -> TestClient:
        """Return a browser at the dashboard; a site of its own where one is given."""
        client = TestClient(
            self.app.dashboard() if site is None else site,
            base_url=base,
            headers=headers,
            follow_redirects=False,
            client=(peer, 50000),
        )
        return self._stack.enter_context(client)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.delenv("MILLRACE_DASHBOARD_TOKEN", raising=False)
    with ExitStack() as stack:
        yield House(stack)
