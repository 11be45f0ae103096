"""The memory store and the SQLite store keep schedules, and fire each tick once."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.conformance import ScheduleExamples
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing.clock import ManualClock


class TestMemorySchedules(ScheduleExamples):
    def make_store(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(clock=clock)


class TestSQLiteSchedules(ScheduleExamples):
    @pytest.fixture(autouse=True)
    def fresh_file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "jobs.db"

    def make_store(self, clock: ManualClock) -> SQLiteStore:
        return SQLiteStore(self.path, synchronous="normal", clock=clock)
