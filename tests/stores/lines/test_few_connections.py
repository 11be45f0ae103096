"""How many connections a store has, and what waits for what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace.errors import StoreUnavailable
from tests.stores.lines.bare import AnyBare, until
from tests.stores.lines.sides import Side


def test_a_store_that_is_not_used_connects_to_nothing(side: Side) -> None:
    side.open()
    assert side.connections() == {}


def test_a_producer_has_one_connection_for_all_that_it_does(store: AnyBare, side: Side) -> None:
    threads = [threading.Thread(target=store.write, args=(side.ask,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    store.read(side.ask)
    store.beat(side.ask, within=5)
    for thread in threads:
        thread.join()
    assert side.connections() == {"millrace": 1}


def test_a_worker_has_two_for_steps_one_for_beats_one_for_reads_and_one_that_listens(
    store: AnyBare, side: Side
) -> None:
    store.begin_work(1)
    store.begin_work(2)
    store.begin_work(1)  # it is known
    watch = store.watch(lambda: None)
    both = threading.Barrier(2)

    def at_once() -> None:
        store.write(lambda _: both.wait(10))

    thread = threading.Thread(target=at_once)
    thread.start()
    at_once()
    thread.join()
    store.read(side.ask)
    store.beat(side.ask, within=5)
    all_five = {"millrace": 2, "millrace reads": 1, "millrace beats": 1, "millrace listens": 1}
    until(lambda: side.connections() == all_five)
    store.end_work(1)
    assert side.connections() == all_five
    store.end_work(2)
    store.end_work(2)
    watch.close()
    until(lambda: side.connections() == {"millrace": 1})
    assert store.write(side.ask) == side.answer


def test_a_beat_and_a_read_wait_for_no_step(store: AnyBare, side: Side) -> None:
    store.begin_work(1)
    begun, go_on = threading.Barrier(3), threading.Event()

    def long_step(_: Any) -> None:
        begun.wait(10)
        go_on.wait(10)

    threads = [threading.Thread(target=store.write, args=(long_step,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    assert store.beat(side.ask, within=5) == side.answer
    assert store.read(side.ask) == side.answer
    go_on.set()
    for thread in threads:
        thread.join()


def test_who_waits_for_a_connection_past_the_deadline_is_told(side: Side) -> None:
    store = side.open(deadline="0.2")
    begun, go_on = threading.Event(), threading.Event()

    def long(_: Any) -> None:
        begun.set()
        go_on.wait(10)

    thread = threading.Thread(target=store.write, args=(long,))
    thread.start()
    begun.wait(10)
    with pytest.raises(StoreUnavailable, match=r"were all in use for 0\.2 s"):
        store.write(side.ask)
    go_on.set()
    thread.join()
    assert store.write(side.ask) == side.answer


def test_closing_waits_for_what_is_under_way_and_refuses_what_waits(store: AnyBare, side: Side) -> None:
    begun, go_on = threading.Event(), threading.Event()
    answers: list[object] = []

    def long(session: Any) -> object:
        begun.set()
        go_on.wait(10)
        return side.ask(session)

    def note(body: Callable[[Any], object]) -> None:
        try:
            answers.append(store.write(body))
        except StoreUnavailable as error:
            answers.append(error)

    first = threading.Thread(target=note, args=(long,))
    first.start()
    begun.wait(10)
    second = threading.Thread(target=note, args=(side.ask,))
    second.start()
    closing = threading.Thread(target=store.close)
    closing.start()
    until(lambda: store.home.lines.closed)
    go_on.set()
    for thread in (first, second, closing):
        thread.join()
    assert side.answer in answers
    assert len(answers) == 2
    until(lambda: side.connections() == {})


def test_a_store_that_is_closed_says_so(store: AnyBare, side: Side) -> None:
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.write(side.ask),
        lambda: store.read(side.ask),
        lambda: store.beat(side.ask, within=1),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="is closed; open it anew"):
            call()
    until(lambda: side.connections() == {})
