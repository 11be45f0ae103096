"""Owns the drain on Redis: how fast a worker process runs no-op jobs that wait already, put in by the side itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.emptying import best_of, empty
from bench.redisserver import redis_server

if TYPE_CHECKING:
    from bench.redissides import RedisSide
    from bench.rounds import Sample
    from bench.settings import Settings

TRIAL_JOBS = 5_000  # several times the highest concurrency, else a trial is one claim


def best(settings: Settings, side: RedisSide) -> int:
    """Return the concurrency at which a side drains a few thousand jobs fastest."""
    return best_of(side, lambda number: drain(settings, side, TRIAL_JOBS, concurrency=number))


def drain(settings: Settings, side: RedisSide, count: int, *, concurrency: int = 0) -> Sample:
    """Fill an empty server and drain it."""
    count = min(count, side.jobs)
    options = side.at(redis_server().fresh(), count=count, concurrency=concurrency)
    side.ask("fill", options)
    redis_server().settle()
    return empty(settings, side, options, side.unfinished)
