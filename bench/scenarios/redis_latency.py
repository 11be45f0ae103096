"""Owns latency on Redis: from an enqueue in one process to the handler's start in another with an idle worker.

One job each 20 ms, give or take 10. huey's consumer waits in a blocking pop, bullmq's in another.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.redisserver import redis_server
from bench.redissides import bullmq, huey, ours
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most, at_most_times
from bench.scenarios.latency import P50, P99, WAKE, paced
from bench.served import available

if TYPE_CHECKING:
    from bench.redissides import RedisSide
    from bench.settings import Settings

MINE, PEER = "millrace sync", "huey"
BESIDE_PEER = 1.2


def run(settings: Settings) -> list[Row]:
    """Pace jobs through each."""
    sides = available(settings, ours, huey, bullmq)
    samples = interleave(settings, {side.name: partial(pace, settings, side) for side in sides})
    measure = "enqueue to handler start, Redis, "
    return [
        row(samples, measure + "p50", ours=MINE, figure=P50, target=at_most(1.5)),
        row(samples, measure + "p99", ours=MINE, figure=P99, target=at_most(5)),
        row(samples, measure + "p50", ours=MINE, peer=PEER, figure=P50, target=at_most_times(BESIDE_PEER)),
        row(samples, measure + "p99", ours=MINE, peer=PEER, figure=P99, target=at_most_times(BESIDE_PEER)),
        row(samples, measure + "p50", ours=MINE, peer="bullmq", figure=P50),
        row(samples, measure + "p99", ours=MINE, peer="bullmq", figure=P99),
        row(samples, "answer to handler start in another process, p50", ours=MINE, peer=PEER, figure=WAKE),
    ]


def pace(settings: Settings, side: RedisSide) -> Sample:
    """Pace jobs through an empty server."""
    options = side.at(redis_server().fresh(), count=settings.count(300, 100))
    return paced(side, options, settings.folder("latency"))
