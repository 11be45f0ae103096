"""The PostgreSQL store holds jobs until others have ended."""

from __future__ import annotations

import pytest

from millrace.conformance import FollowUpExamples
from millrace.store import Store
from millrace.stores import open_store
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database


class TestPostgresFollowUps(FollowUpExamples):
    @pytest.fixture(autouse=True)
    def empty_schema(self, postgres: Database) -> None:
        self.database = postgres
        postgres.empty()

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.database.url(), clock=clock)
