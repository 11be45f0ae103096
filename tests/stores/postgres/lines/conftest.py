"""Stores on the server that stands for all, closed when their test is over. Owns no assertion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace.stores.postgres.session import Session
from tests.servers.databases import Database
from tests.stores.lines.bare import Opens, opening, until
from tests.stores.lines.sides import PostgresBare as Bare

__all__ = ["Bare", "Opener", "ask", "until"]


Opener = Opens[Bare]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens stores by URL, and closes them."""
    with opening(lambda url, clock: Bare(url, clock=clock)) as open_one:
        yield open_one


@pytest.fixture
def store(postgres: Database, opened: Opener) -> Bare:
    """A store on an empty schema, connected."""
    store = opened(postgres.url())
    store.migrate()
    return store


def ask(template: str, **args: Any) -> Callable[[Session], Any]:
    """Make a body that runs one statement and returns the one value that it gives."""
    return lambda session: session.rows(template, args)[0][0]
