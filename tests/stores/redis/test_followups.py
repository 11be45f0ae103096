"""The Redis stores hold jobs until others have ended, also where each queue is a deployment of its own."""

from __future__ import annotations

import pytest

from millrace.conformance import FollowUpExamples
from millrace.store import Store
from millrace.stores import open_store
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace


class TestRedisFollowUps(FollowUpExamples):
    @pytest.fixture(autouse=True)
    def empty_prefix(self, main_redis: RedisSpace) -> None:
        self.space = main_redis

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.space.url(), clock=clock)


class TestShardedFollowUps(FollowUpExamples):
    @pytest.fixture(autouse=True)
    def empty_prefix(self, main_redis: RedisSpace) -> None:
        self.space = main_redis

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.space.url(shard="queue"), clock=clock)
