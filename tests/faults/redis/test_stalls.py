"""Somebody stands still for longer than a lease: the server, its clients' commands, or a worker; and history holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread

import pytest

from tests.faults.chaos import Turn
from tests.faults.enduring import Endure
from tests.servers.redisserver import RedisServer

SECONDS = 6.0
STALL = 1.8  # seconds: a worker's lease in these tests is a second
#: Seconds that a call waits. A stall outlasts the one, and the answers come when nobody waits for them any more.
DEADLINES = ("1", "10")
PAUSES = 2.0

STALLS: Mapping[str, Callable[[RedisServer], None]] = {
    "a slow command": lambda server: server.sleep(STALL),
    "paused clients": lambda server: server.pause_clients(STALL),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("deadline", DEADLINES, ids=["given up", "waited for"])
@pytest.mark.parametrize("stall", STALLS.values(), ids=STALLS.keys())
def test_a_server_that_stands_still_past_the_leases_lets_nothing_end_twice(
    redis_server: RedisServer,
    prefix: str,
    endure: Endure,
    stall: Callable[[RedisServer], None],
    deadline: str,
) -> None:
    stalls: list[Thread] = []

    def strike() -> None:
        stalls.append(Thread(target=stall, args=[redis_server]))
        stalls[-1].start()
        stalls[-1].join()  # a slow command's; paused clients go on by themselves, and this producer is one of them

    def heal() -> None:
        for each in stalls:
            each.join()

    url = redis_server.url(prefix=prefix, deadline=deadline, read_deadline=deadline, connect_deadline=deadline)
    report = endure(url, seconds=SECONDS, pauses=0, strikes=[Turn(strike, 1.0, 1.4)], heal=heal)
    assert len(stalls) >= 2
    assert report.runs > 50, "hardly a job has run beside the stalls"


@pytest.mark.timeout(120)
def test_workers_that_are_stopped_past_their_leases_change_nothing_when_they_go_on(
    redis_server: RedisServer, prefix: str, endure: Endure
) -> None:
    report = endure(redis_server.url(prefix=prefix), seconds=SECONDS, pauses=PAUSES)
    assert report.rescues, "void: no lease had to be rescued"
