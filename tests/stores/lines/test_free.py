"""Connections that are free go to whoever comes, but to nobody before one who has waited long."""

from __future__ import annotations

import threading

from millrace.stores.free import Free
from tests.faults.stage import wait_for

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing


def test_what_is_free_is_had_at_once_and_nothing_else() -> None:
    free = Free[str]()
    free.put("one")
    assert free.take(0.0) == "one"
    assert free.take(0.0) is None
    assert free.take(0.01) is None
    free.put("one")
    assert free.take() == "one"


def test_who_waits_is_served_though_others_come_again_and_again() -> None:
    free = Free[str]()
    free.put("one")
    served = threading.Event()
    greedy_has_it = threading.Event()

    def come_again_and_again() -> None:
        while not served.is_set():
            if (mine := free.take(PATIENCE)) is not None:
                greedy_has_it.set()
                free.put(mine)

    greedy = [threading.Thread(target=come_again_and_again) for _ in range(4)]
    for each in greedy:
        each.start()
    greedy_has_it.wait(PATIENCE)
    mine = free.take(PATIENCE)
    served.set()
    free.put(mine or "none came")
    for each in greedy:
        each.join()
    assert mine == "one"


def test_who_gives_up_waiting_leaves_what_comes_to_the_next() -> None:
    free = Free[str]()
    assert free.take(0.03) is None
    got: list[str | None] = []
    other = threading.Thread(target=lambda: got.append(free.take(PATIENCE)))
    other.start()
    wait_for(lambda: free._waiting, "somebody to wait")  # pyright: ignore[reportPrivateUsage]
    free.put("one")
    other.join(PATIENCE)
    assert got == ["one"]
