"""What one call of the face costs, in microseconds: `python -m bench.face`. Owns no ratio and no peer.

Three stores in turn: one that does nothing (so all that is left is ours), memory, and SQLite at both settings.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from millrace import Millrace
from millrace.messages import InsertAnswer, NewRow
from millrace.stores import MemoryStore

ROUNDS = 5
SINGLES = 5_000
MANY = 20_000
LANES = 50
THREADS = 16


class NoStore(MemoryStore):
    """Takes every job and keeps none."""

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        return InsertAnswer(len(rows) if now is None else now)


def measured(name: str, run: Callable[[int], Any], count: int) -> None:
    """Print the best of some rounds: time on the clock and of the processor, per job."""
    run(count // 10)
    best = (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        run(count)
        best = min(best, (time.perf_counter() - wall, time.process_time() - processor))
    wall, processor = (each / count * 1e6 for each in best)
    print(f"  {name:<34} {wall:7.2f} us  {processor:7.2f} us of CPU  {1e6 / wall:9,.0f}/s")


class Ways:
    """The ways to enqueue on one app."""

    def __init__(self, app: Millrace) -> None:
        def add(a: int, b: int = 1) -> int:
            return a + b

        self.app = app
        self.add = app.task(name="add")(add)

    def singles(self, count: int) -> None:
        for number in range(count):
            self.add.enqueue(number, 2)

    def threads(self, count: int) -> None:
        crew = [threading.Thread(target=self.singles, args=(count // THREADS,)) for _ in range(THREADS)]
        for each in crew:
            each.start()
        for each in crew:
            each.join()

    def many(self, count: int) -> None:
        self.app.enqueue_many([self.add.job(number, 2) for number in range(count)])

    def lanes(self, count: int) -> None:
        async def lane() -> None:
            for number in range(count // LANES):
                await self.add.aenqueue(number, 2)

        async def lanes() -> None:
            await asyncio.gather(*(lane() for _ in range(LANES)))

        asyncio.run(lanes())


def measure(title: str, app: Millrace) -> None:
    """Measure each way on one app."""
    print(title)
    with app:
        ways = Ways(app)
        measured("enqueue, one thread", ways.singles, SINGLES)
        measured(f"enqueue, {THREADS} threads", ways.threads, SINGLES)
        measured("enqueue_many of 20,000", ways.many, MANY)
        measured(f"aenqueue from {LANES} tasks", ways.lanes, MANY)


def main() -> None:
    """Measure all stores."""
    measure("no store", Millrace(NoStore()))
    measure("memory", Millrace("memory://"))
    for synchronous in ("normal", "full"):
        with TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'jobs.db'}?synchronous={synchronous}"
            measure(f"SQLite, synchronous={synchronous}", Millrace(url))


if __name__ == "__main__":
    main()
