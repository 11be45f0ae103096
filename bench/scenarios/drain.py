"""Owns the drain: how fast one worker process runs no-op jobs that wait already.

The rate is jobs / (last handler's end - first handler's begin), so a worker's start is outside; every job must have
run once, and the queue must say so. For ours a second rate counts until the store says that all are completed.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from bench.probe import Probe
from bench.processes import wait_until, working
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.settings import BenchmarkError, Settings
from bench.sides import Side, huey, ours, tinyjobs

TRIALS = 2  # the better counts: what disturbs one must not choose for the side
TRIAL_JOBS = 4_000  # several times the highest concurrency, else a trial is one claim
DRAIN_SECONDS = 120.0
SETTLE_SECONDS = 10.0
LEVELS = {"full": "full", "normal": "off"}  # of ours, and of huey's beside it, which knows no level between


def run(settings: Settings) -> list[Row]:
    """Drain on every side and compare."""
    mine = {(level, kind): ours(level, kind) for level in LEVELS for kind in ("sync", "async")}
    hueys = {level: huey(peer_level) for level, peer_level in LEVELS.items()}
    tiny = {kind: tinyjobs(kind) for kind in ("sync", "async")}
    sides = [*mine.values(), *hueys.values(), *tiny.values()]
    count = settings.count(20_000, 2_000)
    samples = interleave(
        settings, {side.name: partial(drain, settings, side, count, best(settings, side)) for side in sides}
    )

    def compared(level: str, kind: str, peer: Side, times: float) -> Row:
        measure = f"drain, {kind} handlers, {level.upper()}"
        name = mine[level, kind].name
        return row(samples, measure, ours=name, peer=peer.name, target=at_least_times(times))

    return [
        compared("full", "sync", hueys["full"], 10),
        compared("normal", "sync", hueys["normal"], 5),
        compared("full", "async", hueys["full"], 8),
        compared("normal", "async", hueys["normal"], 3),
        compared("normal", "sync", tiny["sync"], 10),
        compared("normal", "async", tiny["async"], 10),
        *(
            row(samples, f"the same until the store says so, {kind}, {level.upper()}", ours=side.name, figure="stored")
            for (level, kind), side in mine.items()
        ),
    ]


def best(settings: Settings, side: Side) -> int:
    """Return the concurrency at which a side drains a few thousand jobs fastest."""
    rates = {number: max(trial(settings, side, number) for _ in range(TRIALS)) for number in side.concurrencies}
    told = ", ".join(f"{number}: {rate:,.0f}/s" for number, rate in rates.items())
    print(f"  {side.name} by concurrency: {told}", file=sys.stderr, flush=True)
    return max(rates, key=lambda number: rates[number])


def trial(settings: Settings, side: Side, concurrency: int) -> float:
    """Return the rate of one short drain."""
    return drain(settings, side, TRIAL_JOBS, concurrency)["rate"]


def drain(settings: Settings, side: Side, count: int, concurrency: int) -> Sample:
    """Fill a new store, start one worker, and wait until every job has ended once and the store knows it."""
    folder = settings.folder("drain")
    options = side.options(folder, count=count, concurrency=concurrency)
    side.ask("fill", options)
    os.sync()
    report, log = folder / "probe", folder / "worker.log"
    probe = Probe.create(report, count)
    with side.counting(options) as unfinished:
        if (waiting := unfinished()) != count:
            raise BenchmarkError(f"{side.name} has {waiting} jobs waiting, not {count}")
        with working(side.worker(options), side.environment(options, report), log) as process:
            wait = partial(wait_until, process=process, log=log)
            wait(lambda: probe.ended_jobs() == count, f"{count} jobs", seconds=DRAIN_SECONDS)
            stored = wait(lambda: unfinished() == 0, "the store to say that all are finished", seconds=SETTLE_SECONDS)
    if repeated := probe.repeated_jobs():
        raise BenchmarkError(f"{side.name} ran {repeated} of {count} jobs more than once")
    span = probe.span()
    return {"rate": count / span.seconds, "stored": count / (stored - span.first_begin), "concurrency": concurrency}
