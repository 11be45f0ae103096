"""Somebody stands still for longer than a lease: the server, its clients' commands, or a worker; and history holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.chaos import Turn
from tests.faults.enduring import TRIES, Endure
from tests.servers.redisserver import RedisServer

SECONDS = 5.0
STALL = 1.8  # seconds: a worker's lease in these tests is a second
PAUSES = 2.0

Stall = Callable[[RedisServer], None]

#: Ways to stand still, each with the seconds that calls wait: by the short ones the answers come when nobody waits for
#: them any more, by the long ones all come late.
STALLS: dict[str, tuple[Stall, str]] = {
    "a slow command, given up": (lambda server: server.sleep(STALL), "1"),
    "paused clients, waited for": (lambda server: server.pause_clients(STALL), "10"),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("stall", "deadline"), STALLS.values(), ids=STALLS.keys())
def test_a_server_that_stands_still_past_the_leases_lets_nothing_end_twice(
    redis_server: RedisServer, prefix: str, endure: Endure, stall: Stall, deadline: str
) -> None:
    stalls: list[Stall] = []

    def strike() -> None:
        stalls.append(stall)
        stall(redis_server)

    def run(seed: int) -> bool:
        """Tell whether leases were lost: after a stall a worker's call that extends them may come before the rescue."""
        stalls.clear()
        name = f"{prefix}_{seed}"
        url = redis_server.url(prefix=name, deadline=deadline, read_deadline=deadline, connect_deadline=deadline)
        report = endure(url, seed=seed, seconds=SECONDS, pauses=0, strikes=[Turn(strike, 0.6, 1.0)])
        assert len(stalls) >= 2
        assert report.runs > 50, "hardly a job has run beside the stalls"
        # A rescue that the server did when nobody waited for its answer any more is known by what was refused after it.
        return bool(report.rescues or report.refused)

    assert any(run(seed) for seed in range(1, TRIES + 1)), "void: no lease has passed"


@pytest.mark.timeout(120)
def test_workers_that_are_stopped_past_their_leases_change_nothing_when_they_go_on(
    redis_server: RedisServer, prefix: str, endure: Endure
) -> None:
    report = endure(redis_server.url(prefix=prefix), seconds=SECONDS, pauses=PAUSES)
    assert report.rescues, "void: no lease had to be rescued"
