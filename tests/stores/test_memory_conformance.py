"""The memory store passes the conformance suite."""

from __future__ import annotations

from millrace.conformance import StoreConformance
from millrace.stores import MemoryStore
from millrace.testing.clock import ManualClock


class TestMemoryStore(StoreConformance):
    def make_store(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(clock=clock)
