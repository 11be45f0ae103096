"""Owns latency: from an enqueue in one process to the handler's start in another, whose worker is idle, at FULL.

One job each 20 ms, give or take 10. The wake-up is the part after the commit: from the return of `enqueue` to the
handler's start, so it holds the claim and the hand-over too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.driver import WARM
from bench.probe import Probe
from bench.processes import wait_until, working
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most, at_most_times
from bench.sides import Side, huey, ours

if TYPE_CHECKING:
    from pathlib import Path

    from bench.driver import Options
    from bench.settings import Settings

ARRIVAL_SECONDS = 30.0
P50, P99, WAKE = "p50 ms", "p99 ms", "wake p50 ms"


def run(settings: Settings) -> list[Row]:
    """Pace jobs through both, huey's consumer with its own defaults."""
    mine, peer = ours("full"), huey("full")
    samples = interleave(
        settings, {mine.name: partial(pace, settings, mine, 10), peer.name: partial(pace, settings, peer, 1)}
    )
    target = at_most_times(1 / 20)
    measure = "enqueue to handler start, "
    return [
        row(samples, measure + "p50", ours=mine.name, figure=P50, target=at_most(3)),
        row(samples, measure + "p99", ours=mine.name, figure=P99, target=at_most(15)),
        row(samples, measure + "p50", ours=mine.name, peer=peer.name, figure=P50, target=target),
        row(samples, measure + "p99", ours=mine.name, peer=peer.name, figure=P99, target=target),
        row(samples, "commit to handler start in another process, p50", ours=mine.name, figure=WAKE, target=at_most(2)),
    ]


def pace(settings: Settings, side: Side, concurrency: int) -> Sample:
    """Pace jobs through a new store."""
    folder = settings.folder("latency")
    options = side.options(folder, count=settings.count(300, 100), concurrency=concurrency)
    side.ask("create", options)
    return paced(side, options, folder)


def paced(side: Side, options: Options, folder: Path) -> Sample:
    """Let a producer's process enqueue at its pace beside an idle worker, and compare their clocks."""
    report, log = folder / "probe", folder / "worker.log"
    probe = Probe.create(report, WARM + options.count)
    with working(side.worker(options), side.environment(options, report), log) as process:
        times = side.ask("paced", options)
        wait_until(
            lambda: probe.ended_jobs() == probe.capacity,
            "all paced jobs",
            seconds=ARRIVAL_SECONDS,
            process=process,
            log=log,
        )
    began = probe.began[WARM:].tolist()
    waits = sorted(begin - called for begin, called in zip(began, times["called"], strict=True))
    wakes = sorted(begin - returned for begin, returned in zip(began, times["returned"], strict=True))
    return {P50: at(waits, 0.5), P99: at(waits, 0.99), WAKE: at(wakes, 0.5)}


def at(waits: list[float], share: float) -> float:
    """Return the wait in milliseconds that this share of the jobs kept below."""
    return waits[min(len(waits) - 1, int(len(waits) * share))] * 1000
