"""A look for what has passed begins where the last one came to, once looks are slow for dead entries."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.conformance.bench import ANN, LEASE, Bench
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.postgres.sweep import DEAD, Sweep
from tests.servers.databases import Database
from tests.stores.postgres.verbs.conftest import OpenStore

NOW = 1_800_000_000_000_000
SECOND = 1_000_000
FAST, SLOW = 0.001, 0.5  # seconds


class Stage:
    """A sweep with its clock and the evidence that it may ask for."""

    def __init__(self, dead: int = 10**6) -> None:
        self.seconds = 100.0
        self.dead = dead
        self.asked = 0
        self.sweep = Sweep(lambda: self.seconds)

    def rows(self, template: str) -> list[Any]:
        assert template == DEAD
        self.asked += 1
        return [(self.dead,)]

    def look(self, took: float, *, now: int = NOW, number: int = 0, reached: int | None = None) -> int:
        """Look once, for ten at most; return where the look began."""
        with self.sweep.look(self, now, 10) as look:  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            self.seconds += took
            look.number, look.reached = number, reached
        return look.since


def test_fast_looks_begin_at_the_front_and_ask_nothing() -> None:
    stage = Stage()
    assert [stage.look(FAST, now=NOW + at) for at in range(5)] == [0] * 5
    assert stage.asked == 0


def test_slow_looks_without_many_dead_rows_begin_at_the_front_too() -> None:
    stage = Stage(dead=19_999)
    assert [stage.look(SLOW, now=NOW + at) for at in range(5)] == [0] * 5


def test_a_look_may_take_longer_for_what_it_finds() -> None:
    stage = Stage()
    with stage.sweep.look(stage, NOW, 10_000) as look:  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        stage.seconds += SLOW
        look.number = 5_000
    assert stage.look(FAST) == 0


def test_after_a_slow_one_looks_begin_shortly_before_the_last() -> None:
    stage = Stage()
    assert stage.look(SLOW) == 0
    assert stage.look(FAST, now=NOW + 7 * SECOND) == NOW - 5 * SECOND
    assert stage.look(FAST, now=NOW + 9 * SECOND) == NOW + 2 * SECOND


def test_one_that_found_all_it_may_goes_on_from_there() -> None:
    stage = Stage()
    assert stage.look(SLOW, number=10, reached=NOW - 60 * SECOND) == 0
    assert stage.look(FAST, number=10, reached=NOW - 50 * SECOND) == NOW - 60 * SECOND
    assert stage.look(FAST, number=3, reached=NOW - 40 * SECOND) == NOW - 50 * SECOND
    assert stage.look(FAST) == NOW - 5 * SECOND


def test_one_that_found_all_it_may_and_cannot_tell_how_far_begins_there_again() -> None:
    stage = Stage()
    assert stage.look(SLOW, number=10) == 0
    assert stage.look(FAST, number=9) == 0
    stage.look(SLOW)
    stage.look(FAST, now=NOW + SECOND)
    assert stage.look(FAST, now=NOW + 2 * SECOND, number=10) == NOW - 4 * SECOND
    assert stage.look(FAST, now=NOW + 3 * SECOND) == NOW - 4 * SECOND


def test_a_full_look_comes_after_twenty_times_what_the_last_took_and_ends_it_where_it_is_fast() -> None:
    stage = Stage()
    stage.look(SLOW)
    stage.seconds += 19 * SLOW
    assert stage.look(FAST) > 0
    stage.seconds += SLOW
    assert stage.look(SLOW) == 0
    assert stage.look(FAST) > 0
    stage.seconds += 20 * SLOW
    assert stage.look(FAST) == 0
    assert stage.look(FAST, now=NOW + SECOND) == 0


# -- on a server


class Ticking:
    """A clock that goes on by a second each time that it is read, so that each look takes one."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture
def ticking(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """The clock of a store's looks. All are slow for dead rows, and each kind has been at the front once."""
    monkeypatch.setattr("millrace.stores.postgres.sweep._MANY_DEAD", 0)
    monkeypatch.setattr("millrace.stores.postgres.pace.TIMES", 1000)
    clock = Ticking()
    store.watch_sweeps(clock)
    look_at_all(store)
    return clock


def look_at_all(store: OpenStore) -> tuple[int, int, int]:
    """Rescue, promote and expire; return how many of each there were."""
    return len(store.rescue(retention=1, dead_retention=1)), store.promote(), store.expire()


def bring_one_of_each(bench: Bench) -> None:
    """Bring a job that loses its lease in half a minute, one that falls due then, and one that expires then."""
    bench.bring(JobState.RUNNING)
    bench.add(delay=LEASE)
    bench.add(queue="ended")
    bench.finish(ANN, Outcome.completed(bench.take(queues=("ended",)), None, retention=LEASE))


@pytest.mark.usefixtures("ticking")
def test_what_passes_later_is_found_by_looks_that_begin_late(bench: Bench, store: OpenStore) -> None:
    for _ in range(2):
        bring_one_of_each(bench)
        bench.later(31)
        assert all(sweep.since > 0 for sweep in store.sweeps)
        assert look_at_all(store) == (1, 1, 1)
    assert look_at_all(store) == (0, 0, 0)


def test_what_came_late_and_is_older_is_found_by_the_next_full_look(
    bench: Bench, store: OpenStore, postgres: Database, ticking: Ticking
) -> None:
    bring_one_of_each(bench)
    postgres.run("update {s}.job set lease_until = 7 where lease_until is not null")
    postgres.run("update {s}.job set due = 7 where state = 0")
    postgres.run("update {s}.job set expire_at = 7 where expire_at is not null")
    bench.later(1)
    assert look_at_all(store) == (0, 0, 0)
    ticking.seconds += 5000
    assert look_at_all(store) == (1, 1, 1)


@pytest.mark.usefixtures("ticking")
def test_many_that_pass_at_once_are_all_found(bench: Bench, store: OpenStore) -> None:
    ids = bench.add_some(20, delay=LEASE)
    bench.later(31)
    assert [store.promote(limit=7) for _ in range(4)] == [7, 7, 6, 0]
    outcomes = [Outcome.completed(row, None, retention=LEASE) for row in bench.claim(ANN, 20)]
    assert len(outcomes) == len(ids)
    bench.finish(ANN, *outcomes)
    bench.later(31)
    assert [store.expire(limit=7) for _ in range(4)] == [7, 7, 6, 0]
