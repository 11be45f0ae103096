"""A minute of 1,000 schedules that tick each second, and three workers that are killed at random: each tick runs once.

A tick's job has an id made of schedule and time, so two of them cannot be: what must be seen is that none is missing,
that no job was made for another time, and that each has run.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from millrace import JobState, Millrace, NewJob
from millrace.clock import SECOND
from millrace.scheduling import ScheduleRow, Scheduling
from millrace.states import FINAL
from millrace.ticking import tick_id
from tests.faults.stage import Actor, wait_for
from tests.servers.cluster import Cluster
from tests.servers.installations import newest
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import EVERY_SECOND, RedisServer
from tests.soak.ticking import TASK, ids_of, make_app

pytestmark = pytest.mark.soak

SCHEDULES = 1000
SECONDS = float(os.environ.get("MILLRACE_SOAK_TICKING_SECONDS", "60"))
MINUTE = 60.0
SELDOM, OFTEN = 1.0, 6.0  # seconds between two kills


class Hand(Actor):
    """A worker of its own process."""

    module = "tests.soak.ticking"

    def wait_until_ready(self) -> None:
        """Wait until it is at work."""
        assert json.loads(self.hear()) == "ready"


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
    elif request.param == "postgres":
        with Cluster(newest()) as cluster:
            yield cluster.url()
    else:
        with RedisServer(newest_redis(), EVERY_SECOND) as server:
            yield server.url()


def test_each_tick_runs_once_whoever_is_killed(tmp_path: Path, url: str) -> None:
    with make_app(url, tmp_path) as app:
        for number in range(SCHEDULES):
            app.schedules.put(f"each second {number}", every=1, catch_up="all", job=NewJob(TASK))
        kills = _work_and_kill(url, tmp_path)
        for schedule in app.schedules.list():
            app.schedules.pause(schedule.name)
        _finish(app, url, tmp_path)
        rows = _rows(app)
        wanted = Counter(id for row in rows for id in _ids(row))
        ran = Counter(ids_of(tmp_path))
        made = {job.id.bytes: job for job in app.iter()}
    print(f"\n{len(wanted)} ticks in {SECONDS:.0f} s, {kills} workers killed, {ran.total() - len(ran)} run again")  # noqa: T201
    assert kills > SECONDS / OFTEN / 2
    assert min(len(_ids(row)) for row in rows) >= SECONDS - 1, "a schedule has stood still"
    assert set(made) == set(wanted)
    assert set(ran) == set(wanted)
    assert {job.state for job in made.values()} == {JobState.COMPLETED}


def _work_and_kill(url: str, folder: Path) -> int:
    """Have three workers, of which one is killed now and then and replaced; return how many were."""
    hands = [Hand("work", url, folder) for _ in range(3)]
    kills, pace = 0, Event()  # never set
    try:
        for hand in hands:
            hand.wait_until_ready()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            pace.wait(random.uniform(SELDOM, OFTEN))
            victim = hands.pop(random.randrange(len(hands)))
            victim.process.kill()
            victim.__exit__(None, None, None)
            kills += 1
            hands.append(Hand("work", url, folder))
    finally:
        for hand in hands:
            hand.__exit__(None, None, None)
    return kills


def _finish(app: Millrace, url: str, folder: Path) -> None:
    """Have one worker end all that is left."""
    with Hand("work", url, folder) as hand:
        hand.wait_until_ready()
        wait_for(
            lambda: not any(number for state, number in app.counts().items() if state not in FINAL),
            "all jobs to end",
            MINUTE,
        )


def _rows(app: Millrace) -> list[ScheduleRow]:
    store: object = app.store
    assert isinstance(store, Scheduling)
    return store.schedules()


def _ids(row: ScheduleRow) -> list[bytes]:
    """Return the ids of all jobs that a schedule must have made: one a second from its beginning to its watermark."""
    last = row.last
    assert last is not None
    since = json.loads(row.spec)["timetable"]["since"]
    return [tick_id(row.name, tick) for tick in range(since + SECOND, last + 1, SECOND)]
