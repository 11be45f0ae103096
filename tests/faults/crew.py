"""Workers as processes of their own, writing down what they do: `python -m tests.faults.crew PART URL FOLDER OPTIONS`.

Owns the tasks that the faults are tried on. Each says `ready` once its store is open; a worker works until SIGTERM, a
consumer, who claims and completes by hand and looks after nothing, until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, cast

import time_machine

from millrace import Backoff, Job, JobContext, LeaseLost, Millrace, StoreUnavailable
from millrace.conformance.mutants import MUTANTS
from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.store import Store
from millrace.stores import open_store
from tests.faults.recording import Journal, RecordedStore
from tests.faults.stage import tell
from tests.faults.tripwire import Tripwire, die, laid

__all__ = ["make_app", "recorded"]

LEASE = 1.0  # seconds: of every task here but those held
HOLD_LEASE = 2.0
FOREVER = 3600.0


def recorded(url: str, journal: Journal, mutant: str | None = None) -> Store:
    """Open a store that writes down what it does, sound or spoilt."""
    store = open_store(url)
    return cast("Store", RecordedStore(MUTANTS[mutant](store) if mutant else store, journal))


def make_app(store: Store, journal: Journal) -> Millrace:
    """Make the app that every process of a test shares."""
    app = Millrace(store, retention=None, dead_retention=None)

    def note(event: str, row: JobRow) -> None:
        journal.write(event, job=row.id.hex(), claim=row.claim, worker=row.worker)

    @app.task(name="work", lease=LEASE, max_crashes=100, retry=Backoff.fixed(0.05))
    async def work(context: JobContext, seconds: float, fails: int = 0) -> int:
        """Take some time; fail the first few tries."""
        row = context.job.row
        note("began", row)
        await asyncio.sleep(seconds)
        note("finished", row)
        if context.attempt <= fails:
            raise OSError(f"try {context.attempt} fails")
        return row.claim

    @app.task(name="hold", lease=HOLD_LEASE)
    async def hold(context: JobContext) -> None:
        """Run for ever at first, and at once when run again."""
        row = context.job.row
        note("began", row)
        if row.claim == 1:
            await asyncio.sleep(FOREVER)
        note("finished", row)

    @app.task(name="poison", lease=LEASE)
    async def poison(context: JobContext) -> None:
        """Take its whole process with it."""
        note("began", context.job.row)
        await asyncio.sleep(0.05)
        os._exit(9)

    assert {work.name, hold.name, poison.name} == {"work", "hold", "poison"}
    return app


@contextlib.contextmanager
def wrong_by(seconds: float) -> Generator[None]:
    """Let the time of day be wrong in this process; what measures durations stays right."""
    if not seconds:
        yield
        return
    with time_machine.travel(time.time() + seconds, tick=True):
        yield


class DyingStore:
    """A store in whose step the process dies: in the first from the n-th on that claims, or finishes, and commits."""

    def __init__(self, store: Store, what: str, turn: int, wire: Tripwire) -> None:
        self._store = store
        self._what = what
        self._turn = turn
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        """Step, or die."""
        self._turn -= bool(outcomes if self._what == "finish" else claims)
        if self._turn > 0:
            return self._store.step(worker, outcomes, claims, now=now)
        answer = self._wire.watch(lambda: self._store.step(worker, outcomes, claims, now=now))
        return cast("StepAnswer", answer)


def work(url: str, journal: Journal, options: dict[str, Any]) -> None:
    """Be a worker; with `die` one that is killed within a step: what, the n-th, and the boundary."""
    what, turn, boundary = options.pop("die", ("claim", sys.maxsize, ("", "")))
    with laid(Tripwire(tuple(boundary), die)) as wire:
        store = recorded(url, journal, options.pop("mutant", None))
        app = make_app(cast("Store", DyingStore(store, what, turn, wire)), journal)
        with app:
            app.store.migrate()
            tell("ready")
            app.run_worker(**options)


def consume(url: str, journal: Journal, options: dict[str, Any]) -> None:
    """Be a consumer by hand."""
    app = make_app(recorded(url, journal, options.pop("mutant", None)), journal)
    chance = random.Random(os.getpid())
    with app:
        app.store.migrate()
        tell("ready")
        while not select.select([sys.stdin], [], [], 0)[0]:
            jobs: Sequence[Job[Any]] = ()
            with contextlib.suppress(StoreUnavailable):
                jobs = app.claim(4, tasks=["work"], lease=LEASE)
            for job in jobs:
                journal.write("began", job=job.row.id.hex(), claim=job.row.claim, worker=job.row.worker)
                time.sleep(chance.uniform(0.03, 0.12))
                journal.write("finished", job=job.row.id.hex(), claim=job.row.claim, worker=job.row.worker)
                with contextlib.suppress(LeaseLost, StoreUnavailable):
                    app.complete(job, job.claim)
            if not jobs:
                select.select([sys.stdin], [], [], 0.02)


def main(part: str, url: str, folder: str, options: str) -> None:
    """Play a part, by a clock that is as wrong as the options say."""
    journal = Journal(Path(folder), part)
    told = json.loads(options)
    with wrong_by(told.pop("skew", 0)):
        {"work": work, "consume": consume}[part](url, journal, told)
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
