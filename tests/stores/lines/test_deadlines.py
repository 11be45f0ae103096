"""A call ends by its deadline whatever the server or the network does; a server that has been away is found again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from millrace.errors import StoreUnavailable
from tests.servers.proxy import Proxy
from tests.stores.lines.bare import AnyBare, until
from tests.stores.lines.calls import SOON, fails
from tests.stores.lines.sides import Side

# -- silence


def test_a_write_on_a_silent_network_ends_and_its_effect_is_unknown(near: AnyBare, proxy: Proxy, side: Side) -> None:
    proxy.turn("silent")
    fails(lambda: near.write(side.ask), r"did not answer within 0\.5 s.*effect is unknown")
    proxy.turn("well")
    assert near.write(side.ask) == side.answer


def test_a_beat_ends_by_its_own_deadline(near: AnyBare, proxy: Proxy, side: Side) -> None:
    near.begin_work(1)
    assert near.beat(side.ask, within=5) == side.answer
    proxy.turn("silent")
    fails(lambda: near.beat(side.ask, within=0.1), r"did not answer within 0\.1 s")


def test_a_read_on_a_silent_network_ends(near: AnyBare, proxy: Proxy, side: Side) -> None:
    near.begin_work(1)
    assert near.read(side.ask) == side.answer
    proxy.turn("silent")
    fails(lambda: near.read(side.ask), r"did not answer within 0\.5 s")


def test_closing_does_not_wait_for_a_silent_network_longer_than_the_deadline(
    near: AnyBare, proxy: Proxy, side: Side
) -> None:
    proxy.turn("silent")
    failures: list[StoreUnavailable] = []

    def call() -> None:
        try:
            near.write(side.ask)
        except StoreUnavailable as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: proxy.hits)
    before = time.monotonic()
    near.close()
    thread.join()
    assert time.monotonic() - before < SOON
    assert len(failures) == 1


# -- lost connections


@pytest.mark.parametrize("mode", ["cutting", "halving", "resetting"])
def test_a_write_whose_reply_is_lost_is_not_repeated_by_itself(
    near: AnyBare, proxy: Proxy, side: Side, mode: Any
) -> None:
    runs: list[bool] = []

    def body(session: Any) -> None:
        runs.append(session.again)
        proxy.turn(mode)
        side.ask(session)

    fails(lambda: near.write(body), "effect is unknown")
    assert runs == [False]


def test_a_body_that_may_be_repeated_is_and_learns_of_it(near: AnyBare, proxy: Proxy, side: Side) -> None:
    runs: list[bool] = []

    def body(session: Any) -> None:
        runs.append(session.again)
        if not session.again:
            proxy.turn("cutting")
        try:
            side.ask(session)
        finally:
            proxy.turn("well")

    near.write(body, repeatable=True)
    assert runs == [False, True]


def test_a_connection_that_was_ended_while_idle_is_replaced_before_anything_is_sent(store: AnyBare, side: Side) -> None:
    store.begin_work(1)
    calls: list[Callable[[], Any]] = [
        lambda: store.write(side.ask),
        lambda: store.read(side.ask),
        lambda: store.beat(side.ask, within=5),
    ]
    for call in calls:
        call()
    assert side.end_sessions() >= 3
    assert [call() for call in calls] == [side.answer] * 3


# -- a server that is away


def test_a_producer_waits_for_a_server_that_restarts_and_a_worker_does_not(side: Side) -> None:
    patient, near = side.open(deadline="60"), side.open()
    patient.write(side.ask)
    near.begin_work(1)
    near.beat(side.ask, within=5)
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(patient.write(side.ask, repeatable=True)))
    side.crash()
    try:
        fails(lambda: near.beat(side.ask, within=5), "cannot be reached|was lost")
        thread.start()
    finally:
        side.start()
    thread.join()
    assert answers == [side.answer]


def test_a_server_that_was_never_there_is_told_at_once_and_no_password_with_it(side: Side) -> None:
    store = side.open_url(side.nowhere)
    with pytest.raises(StoreUnavailable, match=r"cannot be reached.*see that it runs") as told:
        store.write(side.ask)
    assert "s3cret" not in str(told.value)
    fails(lambda: store.write(side.ask), "cannot be reached")


def test_closing_ends_the_wait_for_a_server(side: Side) -> None:
    waiting = side.open(deadline="600")
    waiting.write(side.ask)
    failed = threading.Event()

    def call() -> None:
        try:
            waiting.write(side.ask, repeatable=True)
        except StoreUnavailable:
            failed.set()

    side.crash()
    try:
        thread = threading.Thread(target=call)
        thread.start()
        waiting.close()
        thread.join()
    finally:
        side.start()
    assert failed.is_set()


def test_a_server_that_is_away_is_not_tried_by_every_call(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    store = side.open()
    store.write(side.ask)
    connect: Callable[..., object] = side.line.connect
    tries: list[int] = []

    def counting(*args: Any, **kwargs: Any) -> object:
        tries.append(1)
        return connect(*args, **kwargs)

    monkeypatch.setattr(side.line, "connect", counting)
    side.crash()
    try:
        for _ in range(200):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                store.step(lambda _: pytest.fail("it is not there"), 1)
    finally:
        side.start()
    assert 1 <= len(tries) < 100
    assert store.write(side.ask) == side.answer
