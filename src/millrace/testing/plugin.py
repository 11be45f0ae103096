"""The pytest plugin that comes with Millrace: the fixtures `millrace` and `millrace_clock`.

pytest loads it by its entry point in every run, so it imports nothing heavy before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from millrace.app import Millrace
    from millrace.testing.clock import ManualClock

__all__ = ["millrace", "millrace_clock"]


@pytest.fixture
def millrace_clock() -> ManualClock:
    """Give a clock that stands still until the test moves it; the `millrace` fixture of the same test goes by it.

    ```python
    def test_a_reminder_waits_for_its_time(millrace, millrace_clock):
        remind = millrace.task(name="remind")(lambda: "remember")
        job = remind.using(delay=3600).enqueue()
        millrace.drain()
        assert job.refresh().state == "scheduled"
        millrace_clock.advance(3600)
        millrace.drain()
        assert job.refresh().state == "completed"
    ```
    """
    from millrace.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def millrace(request: pytest.FixtureRequest) -> Iterator[Millrace]:
    """Give an app on a memory store of its own, closed after the test; on a `ManualClock` where the test asks for one.

    ```python
    def test_a_sum_is_worked_out(millrace):
        add = millrace.task(name="add")(lambda a, b: a + b)
        job = add.enqueue(2, 3)
        millrace.drain()
        assert millrace.result(job) == 5
    ```
    """
    from millrace.app import Millrace
    from millrace.stores import MemoryStore

    named = "millrace_clock" in request.fixturenames
    clock: ManualClock | None = request.getfixturevalue("millrace_clock") if named else None
    with Millrace(MemoryStore(clock=clock)) as app:
        yield app
