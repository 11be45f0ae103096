"""Owns `enqueue_many` on Redis, beside bullmq's `addBulk`; both include the building of the jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.redisserver import redis_server
from bench.redissides import bullmq, ours
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.served import available

if TYPE_CHECKING:
    from bench.redissides import RedisSide
    from bench.settings import Settings

MINE = "millrace sync"


def run(settings: Settings) -> list[Row]:
    """Enqueue in bulk on both."""
    count = settings.count(20_000, 5_000)
    samples = interleave(
        settings, {side.name: partial(put_many, side, count) for side in available(settings, ours, bullmq)}
    )
    measure = f"enqueue_many of {count:,}, Redis"
    return [row(samples, measure, ours=MINE, peer="bullmq", target=at_least_times(2))]


def put_many(side: RedisSide, count: int) -> Sample:
    """Enqueue all of them into an empty server."""
    return side.ask("put_many", side.at(redis_server().fresh(), count=count))
