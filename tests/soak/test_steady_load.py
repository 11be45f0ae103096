"""Twenty minutes of steady load, three workers, one killed every 20 s: nothing is lost, and nothing grows.

On PostgreSQL five minutes more, with a transaction open all the while.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from millrace import JobState, Millrace
from millrace.states import FINAL
from tests.faults.stage import Actor, wait_for
from tests.servers.cluster import Cluster
from tests.servers.installations import newest
from tests.soak.gauges import Gauges
from tests.soak.steady import make_app, numbers_of

pytestmark = pytest.mark.soak

MINUTE = 60.0
SECONDS = max(float(os.environ.get("MILLRACE_SOAK_SECONDS", "1200")), 3 * MINUTE)
HELD_SECONDS = max(SECONDS / 4, 3 * MINUTE)
KILL_EVERY, LOOK_EVERY, LATENCY_EVERY = 20.0, 1.0, 5.0
GROWTH = 1.10
# The server looks each few seconds for what to vacuum, so that tables have their size by the second minute.
SOON = {"autovacuum_naptime": "5s"}
# By the unit of a figure, what is too little to be called growth, whatever its part.
SLACK = {"MB": 0.5, "threads": 0.0, "descriptors": 0.0, "ms": 1.0}


class Part(Actor):
    """A process of the load."""

    module = "tests.soak.steady"

    def wait_until_ready(self) -> None:
        """Wait until it is at work."""
        assert json.loads(self.hear()) == "ready"


@dataclass
class Load:
    """A producer, a worker that lasts, and two that are killed in turn and replaced."""

    folder: Path
    url: str
    app: Millrace
    look_at_store: Callable[[Gauges, float], None]
    gauges: Gauges = field(default_factory=Gauges)
    kills: int = 0

    def __post_init__(self) -> None:
        self.producer, self.lasting = self._hire("produce"), self._hire("work")
        self.others = [self._hire("work") for _ in range(2)]

    def _hire(self, part: str) -> Part:
        return Part(part, self.url, self.folder)

    def run(self, seconds: float) -> None:
        """Let it last, and look at it."""
        for part in (self.producer, self.lasting, *self.others):
            part.wait_until_ready()
        begun = time.monotonic()
        pace = Event()  # never set
        kill_at, latency_at = KILL_EVERY, LATENCY_EVERY
        while (at := time.monotonic() - begun) < seconds:
            if at >= kill_at:
                kill_at += KILL_EVERY
                self._kill_one()
            self.gauges.look_at_process("worker", self.lasting.pid, at)
            self.gauges.look_at_process("producer", self.producer.pid, at)
            self.look_at_store(self.gauges, at)
            if at >= latency_at:
                latency_at += LATENCY_EVERY
                self.gauges.look_at_latency(self.app, at)
            pace.wait(LOOK_EVERY)

    def _kill_one(self) -> None:
        victim = self.others.pop(0)
        victim.process.kill()
        victim.__exit__(None, None, None)
        self.others.append(self._hire("work"))
        self.kills += 1

    def finish(self) -> int:
        """Stop producing, and wait until all has ended; return how many jobs there were."""
        assert self.producer.process.stdin is not None
        self.producer.process.stdin.close()
        enqueued = int(self.producer.hear())
        wait_for(self._all_ended, "all jobs to end", MINUTE)
        return enqueued

    def _all_ended(self) -> bool:
        return not any(number for state, number in self.app.counts().items() if state not in FINAL)

    def close(self) -> None:
        """End whoever is left."""
        for part in (self.producer, self.lasting, *self.others):
            part.__exit__(None, None, None)


@dataclass(frozen=True)
class Place:
    """A store to put under load, and how its size is read."""

    url: str
    look: Callable[[Gauges, float], None]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "jobs.db"
        yield Place(f"sqlite:///{path}", lambda gauges, at: gauges.look_at_file(path, at))
        return
    with Cluster(newest(), SOON) as cluster, cluster.connect() as watcher:
        yield Place(cluster.url(), lambda gauges, at: gauges.look_at_tables(watcher, at))


@contextmanager
def load(folder: Path, place: Place) -> Generator[Load]:
    """Set up a load, and take it down."""
    with make_app(place.url, folder) as app, closing(Load(folder, place.url, app, place.look)) as made:
        yield made


def test_nothing_is_lost_and_nothing_grows(tmp_path: Path, place: Place) -> None:
    with load(tmp_path, place) as made:
        made.run(SECONDS)
        enqueued = made.finish()
        dead = made.app.counts()[JobState.DEAD]
    ran = Counter(numbers_of(tmp_path))
    figures = made.gauges.compare((MINUTE, 2 * MINUTE), (SECONDS - MINUTE, SECONDS))
    hit = len(made.gauges.taken_over)
    _report(
        f"{enqueued} jobs in {SECONDS:.0f} s, {made.kills} workers killed, at least {hit} jobs taken over from them"
    )
    for name, (early, late) in figures.items():
        _report(f"  {name:28} minute 2 {early:9.2f}   at the end {late:9.2f}   ratio {late / (early or 1):.3f}")
    assert set(ran) == set(range(enqueued)), "a job was lost"
    assert dead == 0
    assert hit, "void: the kills have hit no job"
    assert {name: pair for name, pair in figures.items() if _has_grown(name, *pair)} == {}


def test_nothing_is_lost_while_a_transaction_stays_open(tmp_path: Path) -> None:
    """Nothing can be vacuumed all the while, so tables and their indexes grow; what they cost must not."""
    with Cluster(newest(), SOON) as cluster, cluster.connect() as watcher, cluster.connect() as held:
        place = Place(cluster.url(), lambda gauges, at: gauges.look_at_tables(watcher, at))
        held.execute("begin isolation level repeatable read")
        held.execute("select pg_current_xact_id()")
        with load(tmp_path, place) as made:
            made.run(HELD_SECONDS)
            enqueued = made.finish()
            dead = made.app.counts()[JobState.DEAD]
        held.execute("rollback")
    ran = Counter(numbers_of(tmp_path))
    figures = made.gauges.compare((MINUTE, 2 * MINUTE), (HELD_SECONDS - MINUTE, HELD_SECONDS))
    early, late = figures["latency p95, ms"]
    _report(f"{enqueued} jobs in {HELD_SECONDS:.0f} s beside an open transaction, {made.kills} workers killed")
    _report(f"  latency p95, ms: minute 2 {early:.2f}, at the end {late:.2f}")
    assert set(ran) == set(range(enqueued)), "a job was lost"
    assert dead == 0
    assert late <= max(early * GROWTH, early + SLACK["ms"])


def _has_grown(name: str, early: float, late: float) -> bool:
    return late > max(early * GROWTH, early + SLACK[name.rsplit(maxsplit=1)[-1]])


def _report(line: str) -> None:
    print("\n" + line, end="", flush=True)  # noqa: T201 - a soak reports its figures
