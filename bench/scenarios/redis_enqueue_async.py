"""Owns `aenqueue` from 50 tasks of one event loop on Redis, beside the peers' awaitable enqueue from as many."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.redisserver import redis_server
from bench.redissides import arq, bullmq, ours, saq
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.served import available

if TYPE_CHECKING:
    from bench.redissides import RedisSide
    from bench.settings import Settings

MINE = "millrace sync"


def run(settings: Settings) -> list[Row]:
    """Enqueue from 50 tasks on each side."""
    sides = available(settings, ours, saq, arq, bullmq)
    counts = {
        side.name: settings.count(50_000, 5_000) if side.name == MINE else settings.count(20_000, 2_000)
        for side in sides
    }
    samples = interleave(settings, {side.name: partial(put_async, side, counts[side.name]) for side in sides})
    measure = "enqueue from 50 tasks, Redis"
    return [
        *(row(samples, measure, ours=MINE, peer=peer, target=at_least_times(4)) for peer in ("saq", "arq")),
        row(samples, measure, ours=MINE, peer="bullmq"),
    ]


def put_async(side: RedisSide, count: int) -> Sample:
    """Enqueue into an empty server."""
    return side.ask("put_async", side.at(redis_server().fresh(), count=count))
