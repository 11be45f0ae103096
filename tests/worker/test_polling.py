"""How often an idle worker looks by itself: seldom while hints come from other processes, and oftener while not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millrace import Millrace
from millrace.store import Subscription
from millrace.worker import claimer
from millrace.worker.notice import Notices
from millrace.worker.settings import read_settings
from millrace.worker.shift import Shift
from tests.worker.conftest import Hire
from tests.worker.stages import Stage
from tests.worker.waiting import PATIENCE

QUARTER, SECOND = (0.2, 0.3), (0.8, 1.2)  # give or take a fifth


class Watch:
    """A subscription that no hint comes by."""

    live = False

    def close(self) -> None:
        """Nothing is to be stopped."""


class DeafStage(Stage):
    """A store whose listener is out of reach, and which counts how often it is asked for the next due time."""

    def __init__(self) -> None:
        super().__init__()
        self.the_watch = Watch()
        self.due_looks = 0

    def watch(self, on_change: Callable[[], None]) -> Subscription:  # noqa: ARG002 - it is never called
        self._check("watch")
        return self.the_watch

    def next_due(self) -> int | None:
        self.due_looks += 1
        return self.inner.next_due()


class Idle:
    """A worker that is not started; its claim loop goes on turn by turn, at times that the test tells."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        store: Any = stage
        self.app = Millrace(store)
        self.app.task(name="ping")(lambda: None)
        options: Any = {"queues": None, "tasks": None, "reserved": None, "prefetch": None}
        settings = read_settings(concurrency=1, burst=False, grace=1, **options)
        self.shift = Shift(self.app, settings, Notices(), lambda: None)
        monkeypatch.setattr(claimer, "uptime", lambda: self.now)

    def subscribe(self) -> None:
        """Ask the store for hints."""
        self.shift._subscribe()  # pyright: ignore[reportPrivateUsage]

    def turn(self) -> float:
        """Let the claim loop do what there is to do at this moment; return how long it then sleeps."""
        return self.shift._claimer._turn()  # pyright: ignore[reportPrivateUsage]


def within(nap: float, span: tuple[float, float]) -> bool:
    return span[0] <= nap <= span[1]


def test_while_hints_come_it_looks_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Idle(Stage(), monkeypatch)
    idle.subscribe()

    assert within(idle.turn(), SECOND)


def test_while_the_listener_is_out_of_reach_it_looks_four_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = DeafStage()
    idle = Idle(stage, monkeypatch)
    assert within(idle.turn(), QUARTER)  # not subscribed yet
    idle.subscribe()
    for live, span in [(False, QUARTER), (True, SECOND), (False, QUARTER)]:
        stage.the_watch.live = live
        idle.now += 2

        assert within(idle.turn(), span)


def test_looking_oftener_costs_a_claim_each_time_and_the_next_due_time_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = DeafStage()
    idle = Idle(stage, monkeypatch)
    idle.subscribe()
    until = idle.now + 20
    while idle.now < until:
        idle.now += idle.turn()

    assert 66 <= len(stage.claims) <= 101
    assert 15 <= stage.due_looks <= 26


def test_a_job_that_no_hint_tells_of_is_found(hire: Hire) -> None:
    store: Any = DeafStage()
    with Millrace(store) as app:
        task = app.task(name="ping")(lambda: "pong")
        worker = hire(app)
        assert worker.notices.idle.wait()

        assert app.wait(task.enqueue(), timeout=PATIENCE).result == "pong"
