"""Owns what it costs to fire schedules: 1,000 that tick each second, on each kind of store, as a share of a core.

A clock moved by hand makes the seconds, so nothing else is in the figure: a worker's look at what is due, and the write
of schedules, ticks and jobs. By the wall, so that a server's work counts as ours.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.settings import Settings
    from millrace.store import Store
    from millrace.testing import ManualClock

SCHEDULES = 1000
SECONDS = 15
WARM_SECONDS = 3
SHARE = "% of a core"
LIMIT = 10


def run(settings: Settings) -> list[Row]:
    """Fire for some seconds on each store, once a round."""
    stores = {"SQLite, FULL": sqlite, "PostgreSQL": postgres, "Redis": redis}
    samples = interleave(settings, {name: partial(fire, settings, make) for name, make in stores.items()})
    return [
        row(samples, f"{SCHEDULES:,} ticks a second, {name}", ours=name, figure=SHARE, target=at_most(LIMIT))
        for name in stores
    ]


def sqlite(settings: Settings, clock: ManualClock) -> Store:
    """Open a new file."""
    from millrace.stores import SQLiteStore

    return SQLiteStore(settings.folder("ticks") / "jobs.db", clock=clock)


def postgres(settings: Settings, clock: ManualClock) -> Store:
    """Open a new database."""
    from bench.server import server
    from millrace.stores import PostgresStore

    del settings
    return PostgresStore(server().fresh("ticks"), clock=clock)


def redis(settings: Settings, clock: ManualClock) -> Store:
    """Open an empty server."""
    from bench.redisserver import redis_server
    from millrace.stores import RedisStore

    del settings
    return RedisStore(redis_server().fresh(), clock=clock)


def fire(settings: Settings, make: Callable[[Settings, ManualClock], Store]) -> Sample:
    """Let a second pass, fire what is due, and again; the median second counts."""
    from millrace import Millrace
    from millrace.testing import ManualClock
    from millrace.worker.ticker import Ticker

    clock = ManualClock()
    with Millrace(make(settings, clock)) as app:
        tick = app.task(name="tick")(lambda: None)
        for number in range(settings.count(SCHEDULES, 100)):
            app.schedules.put(f"each second {number}", every=1, job=tick.job())
        ticker, took = Ticker(app.store), list[float]()
        for _ in range(WARM_SECONDS + SECONDS):
            clock.advance(1)
            started = time.perf_counter()
            ticker.round()
            took.append(time.perf_counter() - started)
    return {SHARE: statistics.median(took[WARM_SECONDS:]) * 100}
