"""The PostgreSQL store keeps schedules, and fires each tick once, on every server there is."""

from __future__ import annotations

import pytest

from millrace.conformance import ScheduleExamples
from millrace.store import Store
from millrace.stores import open_store
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database


class TestPostgresSchedules(ScheduleExamples):
    @pytest.fixture(autouse=True)
    def empty_schema(self, each_database: Database) -> None:
        self.database = each_database
        each_database.empty()

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.database.url(), clock=clock)
