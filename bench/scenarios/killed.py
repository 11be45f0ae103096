"""Owns the kill: a worker that holds 1,000 running jobs dies by SIGKILL, and another worker runs them all again.

The second worker stands by from before the kill. None may be lost, and none may end twice.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from bench.probe import Probe
from bench.processes import poll, wait_until, working
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_most
from bench.settings import BenchmarkError
from bench.sides import ours, unfinished

if TYPE_CHECKING:
    from bench.settings import Settings

START_SECONDS = 60.0
AGAIN_SECONDS = 30.0
STANDBY_CONCURRENCY = 10
AGAIN, LOST, TWICE = "until all run again s", "lost jobs", "finished twice jobs"


def run(settings: Settings) -> list[Row]:
    """Kill a worker each round."""
    name = "millrace"
    samples = interleave(settings, {name: partial(kill, settings)})
    measure = f"kill -9 of a worker with {settings.count(1_000, 200):,} jobs"
    return [
        row(samples, f"{measure}: until all run again", ours=name, figure=AGAIN, target=at_most(5)),
        row(samples, f"{measure}: lost", ours=name, figure=LOST, target=at_most(0)),
        row(samples, f"{measure}: finished twice", ours=name, figure=TWICE, target=at_most(0)),
    ]


def kill(settings: Settings) -> Sample:
    """Let one worker hold all jobs, kill it, and time the other."""
    from millrace import Millrace

    side = ours("full")
    folder = settings.folder("killed")
    count = settings.count(1_000, 200)
    holding = side.options(folder, count=count, concurrency=count)
    report, log, standby_log = folder / "probe", folder / "worker.log", folder / "standby.log"
    probe = Probe.create(report, count)
    side.ask("hold", holding)
    env = side.environment(holding, report)
    with working(side.worker(holding), env, log) as first, Millrace(env["MILLRACE_URL"]) as app:
        wait = partial(wait_until, seconds=START_SECONDS)
        wait(lambda: probe.begun_jobs() == count, "all jobs to begin", process=first, log=log)
        standby = side.worker(side.options(folder, concurrency=STANDBY_CONCURRENCY))
        with working(standby, env, standby_log) as second:
            wait(lambda: len(app.workers()) > 1, "the second worker", process=second, log=standby_log)
            if probe.begun_jobs(at_least=2):
                raise BenchmarkError("jobs were run again while their worker lived")
            killed = time.monotonic()
            first.kill()
            all_again = poll(lambda: probe.begun_jobs(at_least=2) == count, second, AGAIN_SECONDS)
            poll(lambda: probe.ended_jobs() == count and not unfinished(app), second, AGAIN_SECONDS)
        lost = max(count - probe.ended_jobs(), unfinished(app))
    again = max(probe.began) - killed if all_again else AGAIN_SECONDS
    return {AGAIN: again, LOST: lost, TWICE: probe.repeated_jobs()}
