"""The whole store is read at most once a second, and for no more than a twentieth of the time."""

from __future__ import annotations

from typing import Any

from millrace import StoreUnavailable
from millrace.backlog import Backlog
from millrace.messages import Waiting
from millrace.metrics.families import DEPTH, STORE_UP


class Slow:
    """A store whose reads take as long as is said, by a clock of their own."""

    def __init__(self, seconds: float) -> None:
        self.time = 100.0
        self.seconds = seconds
        self.reads = 0
        self.broken = False

    def waiting(self) -> list[Waiting]:
        self.reads += 1
        self.time += self.seconds
        if self.broken:
            raise StoreUnavailable("away")
        return [Waiting("q", "t", self.reads, 0)]

    def now(self) -> int:
        return 5

    def backlog(self) -> Backlog:
        store: Any = self
        return Backlog(lambda: store, clock=lambda: self.time)


def test_it_is_read_at_most_once_a_second() -> None:
    slow = Slow(0.0)
    backlog = slow.backlog()
    for _ in range(40):
        backlog.read()
        slow.time += 0.1

    assert 4 <= slow.reads <= 5


def test_a_read_that_takes_long_is_made_less_often() -> None:
    slow = Slow(0.5)
    backlog = slow.backlog()
    for _ in range(1000):
        backlog.read()
        slow.time += 0.1

    assert slow.reads * slow.seconds <= 100 / 20 + slow.seconds


def test_a_store_that_does_not_answer_is_told_as_down_and_nothing_is_said_of_its_queues() -> None:
    slow = Slow(0.0)
    backlog = slow.backlog()
    assert (backlog.read().value(STORE_UP), backlog.read().value(DEPTH, "q")) == (1, 1)
    slow.broken = True
    slow.time += 2

    assert (backlog.read().value(STORE_UP), backlog.read().of(DEPTH)) == (0, [])
