"""Owns the drain of jobs that fall under limits, beside the drain of plain ones, on whichever store a URL names.

Worker and producer are in this process, and the handler does nothing: what differs between two sides is what a limit
costs. The limits are far above what one worker runs at once, so none of them holds it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.settings import BenchmarkError, Settings
from millrace import Limit, Millrace, Rate, Worker
from millrace.states import JobState

if TYPE_CHECKING:
    from millrace import NewJob

KEYS = 1000
FAR = 100_000
CONCURRENCY = 10
PLAIN = "plain"
#: The sides, and what each must reach of the plain one; those without a number stand beside them to be seen.
TARGETS: Mapping[str, float | None] = {
    "queue concurrency": 0.5,
    "queue rate": 0.5,
    "1,000 fairness keys": 0.3,
    "1,000 limited keys": None,
    "one limited key": None,
    "one rated key": None,
}

Fresh = Callable[[], str]  #: makes an empty store, and returns its URL


def compared(settings: Settings, store: str, fresh: Fresh) -> list[Row]:
    """Drain every side and compare it with the plain one."""
    count = settings.count(20_000, 4_000)
    samples = interleave(settings, {side: partial(drain, fresh, side, count) for side in (PLAIN, *TARGETS)})
    return [
        row(
            samples,
            f"drain on {store}, {side}",
            ours=side,
            peer=PLAIN,
            target=None if times is None else at_least_times(times),
        )
        for side, times in TARGETS.items()
    ]


def drain(fresh: Fresh, side: str, count: int) -> Sample:
    """Fill an empty store, and have a worker run all; the rate is that until the store has the last outcome."""
    with Millrace(fresh()) as app:
        made = job_of(app, side)
        for first in range(0, count, 5000):
            app.enqueue_many([made(number) for number in range(first, min(first + 5000, count))])
        worker = Worker(app, concurrency=CONCURRENCY, burst=True)
        worker.start()
        worker.stop(drain=True)
        if app.counts()[JobState.COMPLETED] != count:
            raise BenchmarkError(f"{side}: not all of {count} jobs are completed: {app.counts()}")
        return {"rate": count / worker.summary.seconds}


def job_of(app: Millrace, side: str) -> Callable[[int], NewJob]:
    """Set an app up for a side; return what makes its jobs."""

    def noop(key: str) -> None: ...

    if side == "1,000 fairness keys":
        task = app.task(name="noop", fair="{key}")(noop)
    elif side == "1,000 limited keys":
        task = app.task(name="noop", concurrency=Limit(FAR, key="{key}"))(noop)
    elif side == "one limited key":
        task = app.task(name="noop", concurrency=Limit(FAR))(noop)
    elif side == "one rated key":
        task = app.task(name="noop", rate=Rate(FAR, per=1.0))(noop)
    else:
        task = app.task(name="noop")(noop)
    if side == "queue concurrency":
        app.set_queue("default", concurrency=FAR)
    elif side == "queue rate":
        app.set_queue("default", rate=Rate(FAR, per=1.0))
    return lambda number: task.job(f"k{number % KEYS}")
