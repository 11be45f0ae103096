"""The Redis store keeps schedules, and fires each tick once, on every server there is."""

from __future__ import annotations

import pytest

from millrace.conformance import ScheduleExamples
from millrace.store import Store
from millrace.stores import open_store
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace


class TestRedisSchedules(ScheduleExamples):
    @pytest.fixture(autouse=True)
    def empty_prefix(self, any_redis: RedisSpace) -> None:
        self.space = any_redis

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.space.url(), clock=clock)
