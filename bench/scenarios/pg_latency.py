"""Owns latency on PostgreSQL: from an enqueue in one process to the handler's start in another with an idle worker.

One job each 25 ms, give or take 5. Jobs that come closer than 20 ms share a notice of ours, which keeps the server free
for others; what that costs them stands beside, with jobs each 20 ms, give or take 10.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most, at_most_times
from bench.scenarios.latency import P50, P99, WAKE, paced
from bench.served import available
from bench.server import server
from bench.serversides import ours, pgqueuer

if TYPE_CHECKING:
    from bench.serversides import ServerSide
    from bench.settings import Settings

MINE, PEER = "millrace sync", "pgqueuer"


def run(settings: Settings) -> list[Row]:
    """Pace jobs through both."""
    sides = available(settings, ours, pgqueuer)
    samples = interleave(settings, {side.name: partial(pace, settings, side, 0.025, 0.005) for side in sides})
    close = interleave(settings, {side.name: partial(pace, settings, side, 0.020, 0.010) for side in sides})
    measure = "enqueue to handler start, PostgreSQL, "
    return [
        row(samples, measure + "p50", ours=MINE, figure=P50, target=at_most(4)),
        row(samples, measure + "p99", ours=MINE, figure=P99, target=at_most(15)),
        row(samples, measure + "p50", ours=MINE, peer=PEER, figure=P50, target=at_most_times(1)),
        row(samples, measure + "p99", ours=MINE, peer=PEER, figure=P99, target=at_most_times(1)),
        row(samples, "commit to handler start in another process, p50", ours=MINE, peer=PEER, figure=WAKE),
        row(close, "the same where half come closer than 20 ms, p50", ours=MINE, peer=PEER, figure=P50),
        row(close, "the same where half come closer than 20 ms, p99", ours=MINE, peer=PEER, figure=P99),
    ]


def pace(settings: Settings, side: ServerSide, interval: float, jitter: float) -> Sample:
    """Pace jobs through a new database."""
    options = replace(side.at(server().fresh(), count=settings.count(300, 100)), interval=interval, jitter=jitter)
    side.ask("create", options)
    return paced(side, options, settings.folder("latency"))
