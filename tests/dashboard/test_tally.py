"""What the pages count: anew for each while that is quick, and now and then where it is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from millrace import JobState, Millrace, NewJob, StoreUnavailable
from millrace.dashboard.tally import Tally
from millrace.messages import Waiting
from millrace.stores import MemoryStore
from millrace.testing import ManualClock
from tests.worker.waiting import eventually


class Counter(MemoryStore):
    """A store whose counts take as long as they are told, by a clock of the test, and wait at a gate."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock())
        self.seconds = 0.0
        self.takes = 0.0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def waiting(self, *, now: int | None = None) -> list[Waiting]:
        self.seconds += self.takes
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        return super().waiting(now=now)


@pytest.fixture
def store() -> Counter:
    return Counter()


@pytest.fixture
def app(store: Counter) -> Iterator[Millrace]:
    with Millrace(store) as app:
        app.task(name="ping")(lambda: None)
        yield app
        store.gate.set()


@pytest.fixture
def tally(app: Millrace, store: Counter) -> Tally:
    return Tally(app, clock=lambda: store.seconds)


def test_a_quick_count_is_made_for_each_page(app: Millrace, tally: Tally) -> None:
    for number in range(3):
        counted = tally.read()
        assert (counted.counts[JobState.PENDING], counted.fresh) == (number, True)
        app.enqueue_many([NewJob("ping")])


def test_a_long_count_stands_for_twenty_times_as_long_as_it_took(app: Millrace, store: Counter, tally: Tally) -> None:
    store.takes = 2.0
    assert tally.read().fresh
    app.enqueue_many([NewJob("ping")])
    store.seconds += 39
    assert (tally.read().counts[JobState.PENDING], tally.read().fresh) == (0, False)
    store.seconds += 2
    eventually(lambda: tally.read().counts[JobState.PENDING] == 1)


def test_a_page_does_not_wait_for_a_long_count(app: Millrace, store: Counter, tally: Tally) -> None:
    store.takes = 2.0
    first = tally.read()
    store.seconds += 41
    store.gate.clear()
    app.enqueue_many([NewJob("ping")])
    again = tally.read()
    assert (again.at, again.fresh, again.counts[JobState.PENDING]) == (first.at, False, 0)
    store.gate.set()
    eventually(lambda: tally.read().counts[JobState.PENDING] == 1)


def test_what_was_changed_here_is_shown_however_old_the_count_is(store: Counter, tally: Tally) -> None:
    store.takes = 2.0
    tally.read()
    tally.note("mail", paused=True)
    assert [(each.name, each.paused) for each in tally.read().queues] == [("mail", True)]
    store.seconds += 41
    store.gate.clear()
    tally.read()  # a count begins, and reads the queues before the next change or after it
    tally.note("news", paused=True)
    store.gate.set()
    eventually(lambda: [each.name for each in tally.read().queues] == ["news"])


def test_of_a_count_that_fails_each_page_tells_and_the_next_may_do(store: Counter, tally: Tally) -> None:
    store.error = StoreUnavailable("the store is away")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="is away"):
            tally.read()
    store.error = None
    assert tally.read().fresh
