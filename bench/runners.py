"""Owns the measure of the worker's own cost: no-op jobs drained by the product's worker and by a bare loop, in one run.

    .venv/bin/python -m bench.runners [jobs] [rounds]

Both sides run in this process on the product's store, so what differs is the Python between a claimed row and its
outcome. The bare side knows one task, no timeout, no lease, no cancel: decode, set the variable, call, note the
outcome; threads that find few jobs waiting do the store's step themselves.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from contextvars import ContextVar, copy_context
from pathlib import Path

from millrace import Millrace, Worker
from millrace.ids import new_worker_id
from millrace.job import JobRow
from millrace.messages import ClaimRequest
from millrace.outcome import Outcome
from millrace.states import JobState

BATCH = 250
SWITCH_INTERVALS = (0.0005,)
CURRENT: ContextVar[object] = ContextVar("current")


def make_app(file: Path, level: str) -> Millrace:
    """Make an app with a sync and an async no-op task."""
    app = Millrace(f"sqlite:///{file}?synchronous={level}")

    @app.task(name="noop")
    def noop(to: str, template: str, args: list[int], trace: str) -> None: ...

    @app.task(name="noop_async")
    async def noop_async(to: str, template: str, args: list[int], trace: str) -> None: ...

    return app


def fill(app: Millrace, name: str, jobs: int) -> None:
    """Store the jobs, about 200 bytes of arguments each."""
    from millrace import NewJob

    args = {"to": "someone@example.com", "template": "welcome", "args": [1, 2, 3], "trace": "0123456789abcdef" * 8}
    app.enqueue_many([NewJob(name, args) for _ in range(jobs)])


def bare(app: Millrace, jobs: int, threads: int) -> float:
    """Drain with the bare loop; returns the seconds."""
    store, spec, worker = app.store, app.registry.get("noop"), new_worker_id()
    assert spec is not None
    decode, function, retention = spec.arguments.decode, spec.function, spec.terms.retention_micros
    ready: deque[JobRow] = deque()
    done: deque[Outcome] = deque()
    lead, stop, written = threading.Lock(), threading.Event(), [0]
    request = ClaimRequest(BATCH, None, frozenset({"noop"}))

    def step() -> None:
        items = [done.popleft() for _ in range(len(done))]
        ready.extend(store.step(worker, items, [request]).claimed)
        written[0] += len(items)
        if written[0] >= jobs:
            stop.set()

    def run() -> None:
        while not stop.is_set():
            if len(ready) < BATCH // 2 and lead.acquire(blocking=False):
                try:
                    step()
                finally:
                    lead.release()
            try:
                row = ready.popleft()
            except IndexError:
                time.sleep(0.0002)
                continue
            CURRENT.set(row)
            args, kwargs = decode(row.args)
            copy_context().run(function, *args, **kwargs)
            done.append(Outcome.completed(row, None, retention=retention))

    hands = [threading.Thread(target=run) for _ in range(threads)]
    started = time.perf_counter()
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    return time.perf_counter() - started


def ours(app: Millrace, concurrency: int) -> float:
    """Drain with the worker; returns the seconds from its start until the store has the last outcome."""
    worker = Worker(app, concurrency=concurrency, burst=True)
    started = time.perf_counter()
    worker.start()
    worker.stop(drain=True)
    seconds = worker.summary.seconds
    assert seconds <= time.perf_counter() - started
    return seconds


def measure(side: str, name: str, level: str, jobs: int, threads: int) -> tuple[float, float]:
    """Fill a new store and drain it; returns jobs a second and microseconds of processor time a job."""
    with tempfile.TemporaryDirectory() as folder:
        app = make_app(Path(folder) / "jobs.db", level)
        fill(app, name, jobs)
        busy = time.process_time()
        seconds = bare(app, jobs, threads) if side == "bare" else ours(app, threads)
        busy = time.process_time() - busy
        assert app.counts()[JobState.COMPLETED] == jobs, app.counts()
        app.close()
    return jobs / seconds, busy / jobs * 1e6


def main(jobs: int = 20_000, rounds: int = 3) -> None:
    """Measure all sides in turns and print the medians."""
    cases = [
        (side, name, level, threads)
        for level in ("full", "normal")
        for side, name in (("bare", "noop"), ("ours", "noop"), ("ours", "noop_async"))
        for threads in ((1, 4, 10) if name == "noop" else (10, 100))
    ]
    for interval in SWITCH_INTERVALS:
        sys.setswitchinterval(interval)
        found: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {case: [] for case in cases}
        for _ in range(rounds):
            for case in cases:
                found[case].append(measure(case[0], case[1], case[2], jobs, case[3]))
        print(f"{jobs} jobs, switch interval {interval * 1000:g} ms: jobs a second, processor time a job; of {rounds}")
        for (side, name, level, threads), pairs in found.items():
            rate, busy = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
            told = ", ".join(f"{each[0]:,.0f}" for each in pairs)
            print(
                f"  {level:6} {side:4} {name:10} {threads:3} slots {rate:9,.0f}/s {busy:6.1f} us   ({told})", flush=True
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
