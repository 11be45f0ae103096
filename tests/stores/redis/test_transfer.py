"""The Redis store gives jobs whole and takes them as they are, on every server there is."""

from __future__ import annotations

from contextlib import closing

import pytest

from millrace.conformance import TransferExamples
from millrace.ids import new_id
from millrace.messages import NewRow
from millrace.store import Store
from millrace.stores import RedisStore, open_store
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace


class TestRedisTransfer(TransferExamples):
    @pytest.fixture(autouse=True)
    def empty_prefix(self, each_redis: RedisSpace) -> None:
        self.space = each_redis

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.space.url(), clock=clock)


def test_a_prefix_that_holds_nothing_does_not_exist_and_looking_writes_nothing(each_redis: RedisSpace) -> None:
    with closing(RedisStore(each_redis.url())) as store:
        assert not store.exists()
        assert each_redis.keys() == set()
        store.migrate()
        store.insert([NewRow(id=new_id(), task="work", queue="default", args=b"{}")])
        assert store.exists()
