"""The memory store and the SQLite store hold jobs until others have ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.conformance import FollowUpExamples
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing.clock import ManualClock


class TestMemoryFollowUps(FollowUpExamples):
    def make_store(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(clock=clock)


class TestSQLiteFollowUps(FollowUpExamples):
    @pytest.fixture(autouse=True)
    def fresh_file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "jobs.db"

    def make_store(self, clock: ManualClock) -> SQLiteStore:
        return SQLiteStore(self.path, synchronous="normal", clock=clock)
