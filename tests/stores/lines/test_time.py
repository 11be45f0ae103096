"""The store's time is the server's, asked for once and carried on."""

from __future__ import annotations

import threading

import pytest

from millrace.clock import SECOND
from millrace.stores.servertime import GivenTime, ServerTime
from millrace.testing import ManualClock
from tests.stores.lines.bare import AnyBare
from tests.stores.lines.sides import Side

NOW = 1_800_000_000 * SECOND


def test_the_server_is_asked_once_and_its_time_goes_on() -> None:
    asked: list[int] = []

    def ask_it() -> int:
        asked.append(NOW)
        return NOW

    time = ServerTime(ask_it)
    first, second = time.now(), time.now()
    assert NOW <= first <= second < NOW + 60 * SECOND
    assert len(asked) == 1


def test_it_is_asked_again_at_times_and_never_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    at = 1000.0
    monkeypatch.setattr("millrace.stores.servertime.time.monotonic", lambda: at)
    answers = iter([NOW, NOW - 3600 * SECOND, NOW + 500 * SECOND])
    time = ServerTime(lambda: next(answers))
    assert time.now() == NOW
    at += 29
    assert time.now() == NOW + 29 * SECOND
    at += 2
    assert time.now() == NOW + 29 * SECOND
    at += 100
    assert time.now() == NOW + 500 * SECOND


def test_threads_that_ask_at_once_cost_one_question() -> None:
    asked: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def ask_it() -> int:
        asked.append(1)
        begun.set()
        go_on.wait(10)
        return NOW

    time = ServerTime(ask_it)
    threads = [threading.Thread(target=time.now) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert asked == [1]


def test_a_given_clock_never_steps_back_either() -> None:
    clock = ManualClock(start=NOW)
    time = GivenTime(clock)
    assert (time.now(), time.given()) == (NOW, NOW)
    clock.move_to(NOW - SECOND)
    assert (time.now(), time.given()) == (NOW, NOW)


def test_a_stores_time_is_the_servers(store: AnyBare, side: Side) -> None:
    before = store.read(side.ask_time)
    now = store.now()
    after = store.read(side.ask_time)
    assert before - SECOND <= now <= after + SECOND


def test_a_store_with_a_clock_gives_its_time_to_what_it_runs(side: Side) -> None:
    clock = ManualClock()
    store = side.open(clock=clock)
    assert store.write(lambda session: session.now) == store.now() == clock.now()
