"""Hints: a process hears of its own changes at once, of others' by its server, and of none while that is away."""

from __future__ import annotations

import threading

import pytest

from millrace.errors import StoreUnavailable
from tests.stores.lines.bare import PATIENCE, AnyBare, until
from tests.stores.lines.calls import Ear, listening
from tests.stores.lines.sides import Side

LISTENS = "millrace listens"


def test_another_process_hears_of_a_queue(store: AnyBare, side: Side) -> None:
    ear = listening(side.open())
    side.tell(store, "mail")
    assert ear.hears()


def test_ones_own_process_hears_at_once(store: AnyBare) -> None:
    ear = listening(store)
    store.changed("mail")
    assert ear.times == 2


def test_with_listen_off_there_is_no_listener_and_this_process_still_hears(side: Side) -> None:
    store, ear = side.open(listen="off"), Ear()
    watch = store.watch(ear)
    store.changed("mail")
    assert ear.times == 1
    assert not watch.live
    assert LISTENS not in side.connections()


def test_a_watch_that_is_closed_hears_no_more_and_the_last_one_ends_the_listener(store: AnyBare, side: Side) -> None:
    first = Ear()
    one, two = store.watch(first), store.watch(lambda: None)
    assert first.hears()
    one.close()
    one.close()
    before = first.times
    store.changed("mail")
    assert first.times == before
    assert LISTENS in side.connections()
    two.close()
    until(lambda: LISTENS not in side.connections())


def test_a_callback_that_fails_keeps_no_other_from_hearing(store: AnyBare, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise LookupError

    store.watch(fail)
    ear = Ear()
    store.watch(ear)
    store.changed()
    assert ear.times >= 1
    assert "a callback of watch() failed" in caplog.text


def test_a_watch_may_be_closed_by_its_own_callback(store: AnyBare) -> None:
    closed = threading.Event()

    def close() -> None:
        watch.close()
        closed.set()

    watch = store.watch(lambda: None)
    watch.on_change = close  # type: ignore[attr-defined]
    store.changed()
    assert closed.wait(PATIENCE)


def test_a_server_that_is_not_there_cannot_be_watched(side: Side) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        side.open(port=1).watch(lambda: None)


# -- a listener whose connection is lost


def test_after_a_reconnect_it_listens_again_and_tells_to_look_once(side: Side) -> None:
    ear = listening(side.open())
    assert side.end_sessions() >= 1
    assert ear.hears()
    side.tell(side.open(), "mail")
    assert ear.hears()


def test_while_the_server_cannot_be_reached_a_watch_says_that_no_hints_come(
    side: Side, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "millrace")
    ear = Ear()
    watch = side.open().watch(ear)
    assert ear.hears()
    assert watch.live
    side.crash()
    try:
        until(lambda: not watch.live and "polling goes on" in caplog.text)
    finally:
        side.start()
    until(lambda: watch.live)
