"""Owns latency on PostgreSQL: from an enqueue in one process to the handler's start in another with an idle worker.

One job each 20 ms, give or take 10.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most, at_most_times
from bench.scenarios.latency import P50, P99, WAKE, paced
from bench.server import server
from bench.serversides import available, ours, pgqueuer

if TYPE_CHECKING:
    from bench.serversides import ServerSide
    from bench.settings import Settings

MINE, PEER = "millrace sync", "pgqueuer"


def run(settings: Settings) -> list[Row]:
    """Pace jobs through both."""
    samples = interleave(
        settings, {side.name: partial(pace, settings, side) for side in available(settings, ours, pgqueuer)}
    )
    measure = "enqueue to handler start, PostgreSQL, "
    return [
        row(samples, measure + "p50", ours=MINE, figure=P50, target=at_most(4)),
        row(samples, measure + "p99", ours=MINE, figure=P99, target=at_most(15)),
        row(samples, measure + "p50", ours=MINE, peer=PEER, figure=P50, target=at_most_times(1)),
        row(samples, measure + "p99", ours=MINE, peer=PEER, figure=P99, target=at_most_times(1)),
        row(samples, "commit to handler start in another process, p50", ours=MINE, peer=PEER, figure=WAKE),
    ]


def pace(settings: Settings, side: ServerSide) -> Sample:
    """Pace jobs through a new database."""
    options = side.at(server().fresh(), count=settings.count(300, 100))
    side.ask("create", options)
    return paced(side, options, settings.folder("latency"))
