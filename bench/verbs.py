"""Owns the cost of the SQLite store's verbs, beside a loop of bare `sqlite3` over the same tables, in one run.

    python bench/verbs.py [--folder DIR] [--rounds 5] [--jobs 2000]

Prints microseconds of processor time a job (the thread's, so that other processes matter less) for 1, 10 and 100 jobs
a call, the median of the rounds; both sides at NORMAL, so that the disk matters least.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from millrace.ids import new_id
from millrace.job import JobRow
from millrace.messages import Beat, ClaimRequest, NewRow
from millrace.outcome import Outcome, error_record
from millrace.stores.sqlite import SQLiteStore

ARGS = b'{"to":"someone@example.com","subject":"' + b"x" * 150 + b'"}'
SIZES = (1, 10, 100)
DAY = 86_400_000_000
ERROR = error_record("Broken: as asked")
WORKER = 7

Timed = Callable[[int], float]  #: microseconds of processor time for so many jobs


def cpu(work: Callable[[], object]) -> float:
    """Return the microseconds of processor time that some work took in this thread."""
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / 1000


def new_rows(count: int) -> list[NewRow]:
    return [NewRow(new_id(), "add", "default", ARGS) for _ in range(count)]


class Ours:
    """The store's verbs."""

    def __init__(self, path: Path) -> None:
        self.store = SQLiteStore(path, synchronous="normal")
        self.held: list[JobRow] = []

    def insert(self, count: int) -> float:
        rows = new_rows(count)
        return cpu(lambda: self.store.insert(rows))

    def claim(self, count: int) -> float:
        request = [ClaimRequest(count)]
        return cpu(lambda: self.held.extend(self.store.step(WORKER, (), request).claimed))

    def finish(self, count: int) -> float:
        outcomes = [Outcome.completed(row, None, retention=DAY) for row in self.take(count)]
        return cpu(lambda: self.store.step(WORKER, outcomes, ()))

    def finish_with_results(self, count: int) -> float:
        outcomes = [Outcome.completed(row, b'{"ok":1}', retention=DAY) for row in self.take(count)]
        return cpu(lambda: self.store.step(WORKER, outcomes, ()))

    def finish_mixed(self, count: int) -> float:
        rows = self.take(count)
        outcomes = [
            Outcome.failed(row, ERROR, delay=DAY, retention=DAY)
            if place % 5 == 0
            else Outcome.completed(row, b"1" if place % 2 else None, retention=DAY)
            for place, row in enumerate(rows)
        ]
        return cpu(lambda: self.store.step(WORKER, outcomes, ()))

    def step(self, count: int) -> float:
        outcomes = [Outcome.completed(row, None, retention=DAY) for row in self.take(count)]
        request = [ClaimRequest(count)]
        return cpu(lambda: self.held.extend(self.store.step(WORKER, outcomes, request).claimed))

    def extend(self, count: int) -> float:
        beats = [Beat(row.ref, row.id, row.claim, DAY) for row in self.held[:count]]
        return cpu(lambda: self.store.extend(WORKER, beats))

    def get(self, count: int) -> float:
        ids = [row.id for row in self.held[:count]]
        return cpu(lambda: self.store.get(ids))

    def look(self, count: int) -> float:
        """An idle worker's look for work of a task that nobody has enqueued."""
        request = [ClaimRequest(count, tasks=frozenset({"absent"}))]
        return cpu(lambda: self.store.step(WORKER, (), request))

    def take(self, count: int) -> list[JobRow]:
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    def close(self) -> None:
        self.store.close()


class Bare:
    """What a careful hand would write with `sqlite3` alone: executemany, no fence beside the worker, no history."""

    def __init__(self, path: Path) -> None:
        store = SQLiteStore(path, synchronous="normal")
        store.insert(new_rows(1))  # the tables and the lane
        store.close()
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute("PRAGMA wal_autocheckpoint=4000")
        self.held: list[int] = []

    def insert(self, count: int) -> float:
        rows = new_rows(count)

        def work() -> None:
            now = time.time_ns() // 1000
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(
                "INSERT INTO millrace_jobs(uid,lane,state,priority,due,created,max_attempts,args)"
                " VALUES(?,1,2,?,?,?,?,?)",
                [(row.id, row.priority, now, now, row.max_attempts, row.args) for row in rows],
            )
            self.connection.execute("COMMIT")

        return cpu(work)

    def claim(self, count: int) -> float:
        def work() -> None:
            self.connection.execute("BEGIN IMMEDIATE")
            self._claim(count)
            self.connection.execute("COMMIT")

        return cpu(work)

    def finish(self, count: int) -> float:
        ids = self.take(count)

        def work() -> None:
            self.connection.execute("BEGIN IMMEDIATE")
            self._finish(ids)
            self.connection.execute("COMMIT")

        return cpu(work)

    def step(self, count: int) -> float:
        ids = self.take(count)

        def work() -> None:
            self.connection.execute("BEGIN IMMEDIATE")
            self._finish(ids)
            self._claim(count)
            self.connection.execute("COMMIT")

        return cpu(work)

    def _claim(self, count: int) -> None:
        now = time.time_ns() // 1000
        rows = self.connection.execute(
            "SELECT id, uid, args, attempt FROM millrace_jobs WHERE state=2 AND lane=1"
            " ORDER BY priority DESC, due, uid LIMIT ?",
            (count,),
        ).fetchall()
        self.connection.executemany(
            "UPDATE millrace_jobs SET state=3, claim=claim+1, attempt=attempt+1, worker=?, lease=?, started=?"
            " WHERE id=?",
            [(WORKER, now + DAY, now, row[0]) for row in rows],
        )
        self.held += [row[0] for row in rows]

    def _finish(self, ids: list[int]) -> None:
        now = time.time_ns() // 1000
        self.connection.executemany(
            "UPDATE millrace_jobs SET state=5, finished=?, expires=?, lease=NULL WHERE id=? AND +worker=?",
            [(now, now + DAY, id, WORKER) for id in ids],
        )

    def take(self, count: int) -> list[int]:
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    def close(self) -> None:
        self.connection.close()


PAIRED = ("insert", "claim", "finish", "step")
ALONE = ("finish_with_results", "finish_mixed", "extend", "get", "look")


def stock(side: Ours | Bare, verb: str, count: int, calls: int) -> None:
    """Put in place what the calls of a verb will use up: as many jobs as they take, waiting or held."""
    if verb in {"insert", "look"}:
        return
    need = count * (calls + 1)
    rest = 0 if verb in {"extend", "get"} else need
    for _ in range(0, need + rest, 1000):
        side.insert(1000)
    if verb != "claim":
        while len(side.held) < (need if rest else count):
            side.claim(1000)


def measure(kind: type[Ours | Bare], folder: Path, verb: str, count: int, jobs: int) -> float:
    """Return the processor time a job of one verb, on a file of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        side = kind(Path(own) / "jobs.db")
        calls = max(jobs // count, 5)
        stock(side, verb, count, calls)
        call: Timed = getattr(side, verb)
        call(count)  # prepared
        total = sum(call(count) for _ in range(calls))
        side.close()
    return total / calls / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("verbs", nargs="*", default=[*PAIRED, *ALONE])
    options = parser.parse_args()
    print(f"{'us a job':24}" + "".join(f"{f'n={size}':>24}" for size in SIZES))
    for verb in options.verbs:
        cells: list[str] = []
        for count in SIZES:
            kinds: tuple[type[Ours | Bare], ...] = (Ours, Bare) if verb in PAIRED else (Ours,)
            taken: dict[str, list[float]] = {kind.__name__: [] for kind in kinds}
            for _ in range(options.rounds):
                for kind in kinds:
                    taken[kind.__name__].append(measure(kind, options.folder, verb, count, options.jobs))
            mine, *bare = (statistics.median(each) for each in taken.values())
            cells.append(f"{mine:.1f}" + (f" / {bare[0]:.1f} = {mine / bare[0]:.2f}" if bare else ""))
        print(f"{verb:24}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
