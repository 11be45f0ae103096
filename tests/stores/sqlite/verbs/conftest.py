"""A store on a file of the test's own, with a clock moved by hand, and what it runs written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from millrace.conformance.bench import Bench
from millrace.stores.sqlite import SQLiteStore
from millrace.stores.sqlite import connection as driver
from millrace.testing.clock import ManualClock

START = 1_800_000_000 * 1_000_000


class Tracing(driver.StandardConnection):
    """A connection that writes down each statement it runs."""

    log: list[str] = []  # noqa: RUF012 - one log for all connections, cleared by the fixture

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        self.log.append(sql)
        return super().rows(sql, args)

    def execute(self, sql: str, args: Sequence[Any] = ()) -> int:
        self.log.append(sql)
        return super().execute(sql, args)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements run by stores opened after this."""
    Tracing.log.clear()
    monkeypatch.setattr(driver, "StandardConnection", Tracing)
    return Tracing.log


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, synchronous="normal", clock=clock)
    yield store
    store.close()


@pytest.fixture
def bench(store: SQLiteStore, clock: ManualClock) -> Bench:
    return Bench(store, clock)
