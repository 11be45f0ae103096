"""Owns what an open transaction costs on PostgreSQL: five minutes of a worker at full rate, with nothing vacuumed.

A producer keeps a few thousand jobs waiting all the while, and a transaction that holds its snapshot keeps every dead
row and index entry. The rate of the last minute stands beside that of the first.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bench.emptying import Watch
from bench.probe import Probe
from bench.processes import working
from bench.rounds import Samples, row
from bench.row import Row, at_least_times
from bench.served import available
from bench.server import one, server
from bench.serversides import ours
from bench.settings import BenchmarkError

if TYPE_CHECKING:
    from bench.serversides import ServerSide
    from bench.settings import Settings

CAPACITY = 60_000  # numbers come around again, at most 255 times: what counts is how many jobs ended
CONCURRENCY = 10
START_SECONDS = 30.0


def run(settings: Settings) -> list[Row]:
    """Run it once, however many rounds were asked for."""
    samples: Samples = {}
    for side in available(settings, ours):
        first, last = steady(settings, side)
        samples = {"last": [{"rate": last}], "first": [{"rate": first}]}
    minutes = settings.count(5, 1)
    measure = f"last against first minute of {minutes} with a transaction open" if minutes > 1 else "the same, quick"
    return [row(samples, measure, ours="last", peer="first", target=at_least_times(0.7))]


def steady(settings: Settings, side: ServerSide) -> tuple[float, float]:
    """Return the rates of the first and of the last window."""
    seconds, window = settings.count(300, 30), settings.count(60, 8)
    url = server().fresh()
    options = side.at(url, concurrency=CONCURRENCY, count=CAPACITY, seconds=seconds)
    side.ask("create", options)
    folder = settings.folder("steady")
    report = folder / "probe"
    probe = Probe.create(report, CAPACITY)
    env = side.environment(options, report)
    logs = [folder / "worker.log", folder / "producer.log"]
    with (
        server().connect() as held,
        working(side.worker(options), env, logs[0]) as worker,
        working(side.command("keep_waiting", options), env, logs[1]) as producer,
    ):
        held.execute("begin isolation level repeatable read")
        one(held, "select pg_current_xact_id()::text")
        watch = Watch(side.name, [worker, producer], logs)
        watch.until(lambda: any(probe.ends), "the first job", START_SECONDS)
        rates: list[float] = []
        for number in range(seconds // window):
            since, before = time.monotonic(), sum(probe.ends)
            time.sleep(window)
            rates.append((sum(probe.ends) - before) / (time.monotonic() - since))
            watch.check("the end")
            print(f"  window {number + 1}: {rates[-1]:,.0f} jobs/s", file=sys.stderr, flush=True)
        held.execute("rollback")
    if not all(rates):
        raise BenchmarkError(f"no job ended in a window: {rates}")
    return rates[0], rates[-1]
