"""The SQLite store passes the conformance suite, in both modes of flushing, on a fresh file each."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from millrace.conformance import StoreConformance
from millrace.stores import SQLiteStore
from millrace.testing.clock import ManualClock


class OnFile(StoreConformance):
    """Stores on a file of the test's own."""

    synchronous: Literal["full", "normal"]

    @pytest.fixture(autouse=True)
    def fresh_file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "jobs.db"

    def make_store(self, clock: ManualClock) -> SQLiteStore:
        return SQLiteStore(str(self.path), synchronous=self.synchronous, clock=clock)


class TestSQLiteStoreFull(OnFile):
    synchronous = "full"


class TestSQLiteStoreNormal(OnFile):
    synchronous = "normal"
