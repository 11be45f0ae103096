"""A store whose calls are measured passes the conformance suite as the store behind it does."""

from __future__ import annotations

from millrace.conformance import StoreConformance
from millrace.meteredstore import metered
from millrace.metrics.meter import Meter
from millrace.store import Store
from millrace.stores import MemoryStore
from millrace.testing.clock import ManualClock


class TestMeteredStore(StoreConformance):
    def make_store(self, clock: ManualClock) -> Store:
        return metered(MemoryStore(clock=clock), Meter())
