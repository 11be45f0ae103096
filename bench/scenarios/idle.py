"""Owns what Millrace costs while it does nothing: an idle worker's memory and processor time, and its start."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from bench.machine import REPOSITORY
from bench.probe import Probe
from bench.processes import environment, memory_megabytes, processor_seconds, wait_until, working
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most
from bench.sides import millrace, ours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.settings import Settings

STARTS = 11
READY_SECONDS = 30.0
CALM_SECONDS = 3.0
MEMORY, WORK = "memory MB", "work %"


def run(settings: Settings) -> list[Row]:
    """Watch an idle worker each round; starts are medians of 11 whole processes."""
    worker = "idle worker"
    samples = interleave(settings, {worker: partial(rest, settings)})
    python = sys.executable
    return [
        row(samples, "memory of an idle worker", ours=worker, figure=MEMORY, target=at_most(60)),
        row(samples, "an idle worker's share of a core", ours=worker, figure=WORK, target=at_most(4)),
        start("import millrace", [python, "-c", "import millrace"], limit=120),
        start("from millrace import Millrace, which loads it", [python, "-c", "from millrace import Millrace"]),
        start("millrace --help", millrace("--help"), limit=150),
        start("of these, Python alone", [python, "-c", "pass"]),
    ]


def rest(settings: Settings) -> Sample:
    """Let a worker run one job, leave it alone, and read what it holds and uses."""
    side = ours("full")
    folder = settings.folder("idle")
    options = side.options(folder, count=1, concurrency=10)
    report, log = folder / "probe", folder / "worker.log"
    probe = Probe.create(report, 1)
    side.ask("create", options)
    with working(side.worker(options), side.environment(options, report), log) as process:
        side.ask("fill", options)
        wait_until(lambda: probe.ended_jobs() == 1, "one job", seconds=READY_SECONDS, process=process, log=log)
        time.sleep(CALM_SECONDS)
        used, since = processor_seconds(process.pid), time.monotonic()
        time.sleep(settings.count(10, 3))
        share = (processor_seconds(process.pid) - used) / (time.monotonic() - since)
        return {MEMORY: memory_megabytes(process.pid), WORK: share * 100}


def start(measure: str, command: Sequence[str], limit: float | None = None) -> Row:
    """Time a command as a whole process, some times over, after one run that warms the caches."""
    times: list[float] = []
    for _ in range(STARTS + 1):
        since = time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, env=environment(), stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - since) * 1000)
    return Row(measure=measure, unit="ms", ours=times[1:], target=None if limit is None else at_most(limit))
