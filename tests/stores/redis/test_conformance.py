"""The Redis store passes the conformance suite on every server there is."""

from __future__ import annotations

import pytest

from millrace.conformance import StoreConformance
from millrace.store import Store
from millrace.stores import open_store
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace


class TestRedisStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def empty_prefix(self, any_redis: RedisSpace) -> None:
        self.space = any_redis

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.space.url(), clock=clock)
