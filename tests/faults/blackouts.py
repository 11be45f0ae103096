"""A life of enqueues and finishes on a disk that loses power, and what each loss has cost. Owns the tally, no bound."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from millrace.conformance.bench import HOUR
from millrace.ids import new_id
from millrace.messages import ClaimRequest, NewRow
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.sqlite import SQLiteStore
from millrace.stores.sqlite.settings import Synchronous
from tests.faults.playground import faults_of
from tests.faults.powercut import Cut, Disk, plugged

__all__ = ["Blackouts", "black_out"]

WORKER = 7


@dataclass
class Blackouts:
    """What some power cuts have cost."""

    cuts: int = 0
    acknowledged: int = 0  #: facts that had been acknowledged before a cut, over all cuts
    lost: int = 0  #: of those, the ones that are no longer so
    halved: int = 0  #: calls that were under way and are there in part
    damaged: int = 0  #: files that fail SQLite's check or ours
    stuck: int = 0  #: files on which work does not go on

    def __str__(self) -> str:
        return (
            f"{self.cuts} power cuts, {self.acknowledged} acknowledged facts: {self.lost} lost, {self.halved} calls "
            f"halved, {self.damaged} files damaged, {self.stuck} stuck"
        )


class Life:
    """One store's life. Facts are (job, state): a job was acknowledged to be there, or to be completed."""

    def __init__(self, path: Path, synchronous: Synchronous, seed: int) -> None:
        self.facts: list[tuple[bytes, JobState]] = []
        self.calls: list[list[bytes]] = []  # each insert's jobs
        self._path = path
        self._synchronous: Synchronous = synchronous
        self._chance = random.Random(seed)

    def opened(self) -> SQLiteStore:
        """Open the store as its users do."""
        return SQLiteStore(self._path, synchronous=self._synchronous, driver="apsw")

    def live(self, turns: int) -> None:
        """Enqueue, claim and finish; reopen the store now and then."""
        for _ in range(3):
            with closing(self.opened()) as store:
                for _ in range(turns // 3):
                    self._turn(store)

    def _turn(self, store: SQLiteStore) -> None:
        number = self._chance.randrange(1, 6)
        body = b'"' + b"x" * self._chance.choice([10, 600, 4000]) + b'"'
        rows = [NewRow(id=new_id(), task="work", queue="default", args=body, tags=("t",)) for _ in range(number)]
        self.calls.append([row.id for row in rows])
        store.insert(rows)
        self.facts += [(row.id, JobState.PENDING) for row in rows]
        if self._chance.random() < 0.5:
            claimed = store.step(WORKER, (), [ClaimRequest(self._chance.randrange(1, 8), lease=HOUR)]).claimed
            ends = [Outcome.completed(row, b'"done"', retention=None) for row in claimed]
            assert not store.step(WORKER, ends, ()).lost
            self.facts += [(row.id, JobState.COMPLETED) for row in claimed]


def black_out(folder: Path, synchronous: Synchronous, *, cuts: int, seed: int = 1) -> Blackouts:
    """Cut the power so often, at random moments of some lives, and look at what is left each time."""
    tally = Blackouts()
    while tally.cuts < cuts:
        place = folder / f"{synchronous}-{seed}"
        place.mkdir()
        life = Life(place / "jobs.db", synchronous, seed)
        with plugged(Disk(seed, 60, lambda life=life: len(life.facts))) as disk:  # type: ignore[misc] # bound at once
            life.live(30)
        for number, cut in enumerate(disk.cuts[: cuts - tally.cuts]):
            cut.restore(place / str(number))
            _look(tally, life, cut, place / str(number) / "jobs.db")
        seed += 1
    return tally


def _look(tally: Blackouts, life: Life, cut: Cut, path: Path) -> None:
    tally.cuts += 1
    facts = life.facts[: cut.acknowledged]
    tally.acknowledged += len(facts)
    try:
        with closing(sqlite3.connect(path)) as connection:
            whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        whole = False
    if not whole:
        tally.damaged += 1
        return
    with closing(SQLiteStore(path)) as store:
        store.migrate()
        for id, state in facts:
            (found,) = store.get([id])
            tally.lost += found is None or (state is JobState.COMPLETED and found.state is not state)
        for call in life.calls:
            there = sum(row is not None for row in store.get(call))
            tally.halved += 0 < there < len(call)
        row = NewRow(id=new_id(), task="work", queue="default", args=b"{}", priority=9)
        store.insert([row])
        (claimed,) = store.step(WORKER, (), [ClaimRequest(1, lease=HOUR)]).claimed
        tally.stuck += claimed.id != row.id
    tally.damaged += bool(faults_of(path))
