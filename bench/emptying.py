"""Owns the clock of a drain on a server: from the first handler's begin until the server holds no unfinished job.

So nothing is gained by acknowledging later; `handled` ends with the last handler instead.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.probe import Probe
from bench.processes import log_tail, working
from bench.settings import BenchmarkError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from bench.driver import Options
    from bench.rounds import Sample
    from bench.served import Served
    from bench.settings import Settings

DRAIN_SECONDS = 300.0
LOOK_SECONDS = 0.005


def best_of(side: Served, drained: Callable[[int], Sample]) -> int:
    """Return the concurrency at which a side drains fastest, by one run of each."""
    if len(side.concurrencies) == 1:
        return side.concurrencies[0]
    rates = {number: drained(number)["rate"] for number in side.concurrencies}
    told = ", ".join(f"{number}: {rate:,.0f}/s" for number, rate in rates.items())
    print(f"  {side.name} by concurrency: {told}", file=sys.stderr, flush=True)
    return max(rates, key=lambda number: rates[number])


def empty(
    settings: Settings, side: Served, options: Options, unfinished: Callable[[], int], processes: int = 1
) -> Sample:
    """Start the workers on a filled queue, and wait until every job has ended once and the server knows it."""
    count = options.count
    folder = settings.folder("drain")
    report = folder / "probe"
    probe = Probe.create(report, count)
    if (waiting := unfinished()) != count:
        raise BenchmarkError(f"{side.name} has {waiting} jobs waiting, not {count}")
    with ExitStack() as workers:
        logs = [folder / f"worker-{number}.log" for number in range(processes)]
        command, env = side.worker(options), side.environment(options, report)
        running = [workers.enter_context(working(command, env, log)) for log in logs]
        wait = Watch(side.name, running, logs)
        wait.until(lambda: probe.ended_jobs() == count, f"{count} jobs")
        stored = wait.until(lambda: unfinished() == 0, "the server to hold no unfinished job")
    if repeated := probe.repeated_jobs():
        raise BenchmarkError(f"{side.name} ran {repeated} of {count} jobs more than once")
    span = probe.span()
    return {"rate": count / (stored - span.first_begin), "handled": count / span.seconds}


class Watch:
    """Waits for conditions while worker processes live."""

    def __init__(self, name: str, running: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
        self._name = name
        self._running = running
        self._logs = logs

    def until(self, reached: Callable[[], bool], what: str, seconds: float = DRAIN_SECONDS) -> float:
        """Wait for a condition and return when it was seen; a dead worker or a passed deadline is an error."""
        deadline = time.monotonic() + seconds
        while not reached():
            self.check(what)
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self._name}: waited {seconds:g} s for {what}; {self._told()}")
            time.sleep(LOOK_SECONDS)
        return time.monotonic()

    def check(self, what: str) -> None:
        """Raise where a worker has died."""
        for process in self._running:
            if process.poll() is not None:
                raise BenchmarkError(
                    f"{self._name}: a worker ended with {process.returncode} before {what}; {self._told()}"
                )

    def _told(self) -> str:
        return "the logs end:\n" + "\n".join(log_tail(log) for log in self._logs)
