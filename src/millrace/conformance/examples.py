"""What all examples stand on: the hook that makes a store, and the fixtures made from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.conformance.bench import Bench
from millrace.store import Store
from millrace.testing.clock import ManualClock

__all__ = ["Examples"]


class Examples:
    """The base of every group of examples."""

    def make_store(self, clock: ManualClock) -> Store:
        """Make an empty store that goes by the clock given. Every subclass under test says how."""
        raise NotImplementedError(f"{type(self).__name__} must say how to make its store: def make_store(self, clock)")

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Give a clock that the example moves."""
        return ManualClock()

    @pytest.fixture
    def bench(self, clock: ManualClock) -> Iterator[Bench]:
        """Give a store on that clock, closed when the example is over."""
        store = self.make_store(clock)
        try:
            yield Bench(store, clock)
        finally:
            store.close()

    @pytest.fixture
    def store(self, bench: Bench) -> Store:
        """Give the store itself."""
        return bench.store
