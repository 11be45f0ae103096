"""Owns what it is to follow events on SQLite: how far behind a change one hears of it, and what fifty take of a drain.

All who follow are in a process of their own, this one. A change is a job's completion, by the time that the store has
for it. The drain is long enough that followers look many times while it lasts, at NORMAL, where no flush hides them.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from bench.driver import WARM
from bench.probe import Probe
from bench.processes import wait_until, working
from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times, at_most
from bench.scenarios.latency import ARRIVAL_SECONDS, P50, P99, at
from bench.sides import Side, ours, store_url

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from bench.driver import Options
    from bench.settings import Settings
    from millrace import Millrace

FOLLOWERS = 50
CONCURRENCY = 10
DRAIN_SECONDS = 120.0
ALONE, FOLLOWED, HEARD = "drain", f"drain, {FOLLOWERS} followers", "a follower"


def run(settings: Settings) -> list[Row]:
    """Pace jobs past one follower, and drain with none and with fifty."""
    full, normal = ours("full"), ours("normal")
    count = settings.count(200_000, 20_000)
    samples = interleave(
        settings,
        {
            HEARD: partial(hear, settings, full),
            ALONE: partial(drain, settings, normal, count, 0),
            FOLLOWED: partial(drain, settings, normal, count, FOLLOWERS),
        },
    )
    return [
        row(samples, "behind a job's completion, p50", ours=HEARD, figure=P50, target=at_most(20)),
        row(samples, "behind a job's completion, p99", ours=HEARD, figure=P99),
        row(samples, FOLLOWED, ours=FOLLOWED, peer=ALONE, target=at_least_times(0.9)),
    ]


def hear(settings: Settings, side: Side) -> Sample:
    """Have one follow while jobs come at the pace of `latency`."""
    folder = settings.folder("followers")
    options = side.options(folder, count=settings.count(300, 100), concurrency=CONCURRENCY)
    side.ask("create", options)
    number = WARM + options.count
    Probe.create(folder / "probe", number)
    log = folder / "worker.log"
    with (
        following(options, 1) as behind,
        working(side.worker(options), side.environment(options, folder / "probe"), log) as process,
    ):
        side.ask("paced", options)
        wait_until(
            lambda: len(behind) == number, "all to be heard of", seconds=ARRIVAL_SECONDS, process=process, log=log
        )
    waits = sorted(behind)
    return {P50: at(waits, 0.5), P99: at(waits, 0.99)}


def drain(settings: Settings, side: Side, count: int, followers: int) -> Sample:
    """Drain a new store, while some follow all of it."""
    folder = settings.folder("followers")
    options = side.options(folder, count=count, concurrency=CONCURRENCY)
    side.ask("fill", options)
    probe = Probe.create(folder / "probe", count)
    log = folder / "worker.log"
    with (
        following(options, followers),
        working(side.worker(options), side.environment(options, folder / "probe"), log) as process,
    ):
        wait_until(
            lambda: probe.ended_jobs() == count, f"{count} jobs", seconds=DRAIN_SECONDS, process=process, log=log
        )
    return {"rate": count / probe.span().seconds}


@contextmanager
def following(options: Options, number: int) -> Generator[Sequence[float], None, None]:
    """Have so many follow all jobs, each in a thread; give by how many seconds each completion was behind."""
    from millrace import Millrace

    behind: list[float] = []
    with Millrace(store_url(options.file, options.synchronous)) as app:
        threads = [threading.Thread(target=follow, args=(app, behind), daemon=True) for _ in range(number)]
        for thread in threads:
            thread.start()
        yield behind
    for thread in threads:
        thread.join()


def follow(app: Millrace, behind: list[float]) -> None:
    """Follow until the app is closed."""
    from millrace import StoreUnavailable
    from millrace.events import JobCompleted

    with suppress(StoreUnavailable):
        behind.extend(time.time() - each.at.timestamp() for each in app.events() if isinstance(each, JobCompleted))
