"""Races on one store: 8 threads on each kind, 4 processes on SQLite and PostgreSQL; and what must hold at last."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from millrace.messages import ClaimRequest, JobFilter
from millrace.outcome import Outcome
from millrace.states import LIVE, JobState
from millrace.store import Store
from millrace.stores import open_store
from tests.faults.races import ERROR, HOUR, RACES, Notes, Part, new_row
from tests.faults.stage import Racer, company, run_together
from tests.servers.databases import Database

PATIENCE = 30.0  # seconds at the barrier: bounds a failure, measures nothing


class Threads:
    """Eight threads of this process on one store object."""

    number = 8

    def __init__(self, url: str) -> None:
        self.store = open_store(url)

    def run(self, race: str, **told: Any) -> list[Notes]:
        """Run a race; return each racer's notes."""
        barrier = threading.Barrier(self.number, timeout=PATIENCE)

        def racer(me: int) -> Notes:
            try:
                return RACES[race](Part(self.store, me, self.number, barrier.wait, told))
            except BaseException:
                barrier.abort()
                raise

        with ThreadPoolExecutor(self.number) as pool:
            return list(pool.map(racer, range(self.number)))


class Processes:
    """Four processes with a store each, and this one looking on."""

    number = 4

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = open_store(url)

    def run(self, race: str, **told: Any) -> list[Notes]:
        """Run a race; return each racer's notes."""
        text = json.dumps(told)
        with company([Racer(race, self.url, me, self.number, text) for me in range(self.number)]) as racers:
            return run_together(racers)


Arena = Threads | Processes


@pytest.fixture(
    params=["threads-memory", "threads-sqlite", "processes-sqlite", "threads-postgres", "processes-postgres"]
)
def arena(request: pytest.FixtureRequest, tmp_path: Path, postgres: Database) -> Iterator[Arena]:
    """Racers of each kind in turn, on an empty store."""
    kind, _, store = request.param.partition("-")
    urls = {
        "memory": "memory://",
        "sqlite": f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal",
        "postgres": postgres.url(),
    }
    arena: Arena = Threads(urls[store]) if kind == "threads" else Processes(urls[store])
    arena.store.migrate()
    yield arena
    arena.store.close()


@pytest.fixture(params=[1, 2])
def seed(request: pytest.FixtureRequest) -> int:
    """Two orders of events."""
    chosen: int = request.param
    return chosen


def fill(store: Store, number: int, **fields: Any) -> list[str]:
    rows = [new_row(**fields) for _ in range(number)]
    assert not store.insert(rows).existing
    return [row.id.hex() for row in rows]


def states(store: Store) -> dict[str, JobState]:
    rows, _ = store.page(JobFilter(), limit=1000)
    return {row.id.hex(): row.state for row in rows}


def test_a_key_has_one_live_holder_at_every_moment(arena: Arena) -> None:
    *producers, [[most]] = arena.run("keys", rounds=30)
    assert most <= 1, "a reader saw several live holders of one key"
    goes: dict[tuple[int, int], Notes] = defaultdict(list)
    for turn, go, mine, holder in (note for notes in producers for note in notes):
        goes[turn, go].append([mine, holder])
    for turn in range(30):
        (first,) = [mine for mine, holder in goes[turn, 0] if holder is None]
        assert {holder for _, holder in goes[turn, 0]} == {None, first}
        later = [mine for mine, holder in goes[turn, 1] if holder is None]
        live, _ = arena.store.select(JobFilter(unique_key=f"key-{turn}", states=LIVE), limit=9)
        if turn % 2:
            assert len(later) == 1, "whoever came first after the release has the key, and nobody else"
            assert {holder for _, holder in goes[turn, 1]} <= {None, first, later[0]}
            assert [id.hex() for id in live] == later
        else:
            assert {holder for _, holder in goes[turn, 1]} == {first}
            assert [id.hex() for id in live] == [first]


def test_every_job_is_claimed_once_and_each_claimer_sees_them_in_order(arena: Arena, seed: int) -> None:
    ids = [
        id
        for number in range(12)
        for id in fill(arena.store, 40, queue=f"q{number % 3}", priority=number % 4, due=1_000_000 + number)
    ]
    taken = arena.run("claim", seed=seed)
    jobs = Counter(job for notes in taken for job, _, _, _ in notes)
    assert jobs == Counter(ids), "a job was claimed twice, or not at all"
    assert {claim for notes in taken for _, claim, _, _ in notes} == {1}
    for notes in taken:
        for queue in ("q0", "q1", "q2"):
            places = [place for _, _, where, place in notes if where == queue]
            assert places == sorted(places), "a claimer was handed a job out of order"
    assert arena.store.counts()[JobState.COMPLETED] == len(ids)


def test_a_cancel_a_claim_and_a_finish_agree_on_the_end_of_every_job(arena: Arena, seed: int) -> None:
    ids = fill(arena.store, 240)
    notes = [note for each in arena.run("cancel", seed=seed, ids=ids) for note in each]
    cancels = {job: state for kind, job, state, *_ in notes if kind == "cancel"}
    ended = {note[1]: note[3:] for note in notes if note[0] == "ended"}
    assert len(cancels) == sum(note[0] == "cancel" for note in notes), "one job was cancelled twice"
    for job, state in states(arena.store).items():
        if job not in ended:
            assert (cancels[job], state) == ("cancelled", JobState.CANCELLED), "never claimed: it was cancelled first"
            continue
        asked, got = ended[job]
        assert got != "lost"
        if job not in cancels:
            assert asked == got == state, "a finish nobody interfered with"
        elif cancels[job] == "cancelling":
            assert got == state == ("completed" if asked == "completed" else "cancelled")
        else:
            assert (asked, got, state) == ("failed", "failed", "cancelled"), "cancelled while it waited for its retry"
    assert len(ended) + len(cancels.keys() - ended.keys()) == len(ids)


def test_a_rescue_and_a_finish_never_both_have_their_way(arena: Arena) -> None:
    fill(arena.store, 240, max_crashes=9)
    notes = [note for each in arena.run("rescue", each=240 // (arena.number // 2)) for note in each]
    by_kind: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for kind, job, claim in notes:
        by_kind[kind].append((job, claim))
    assert set(Counter(by_kind["rescued"]).values()) <= {1}, "one lease was rescued twice"
    assert set(by_kind["lost"]) == set(by_kind["rescued"]), "an outcome is lost exactly where the lease was rescued"
    assert not set(by_kind["ended"]) & set(by_kind["rescued"])
    assert len(by_kind["ended"]) + len(by_kind["rescued"]) == 240
    final = states(arena.store)
    assert all(final[job] is JobState.COMPLETED for job, _ in by_kind["ended"])
    assert all(final[job] is JobState.PENDING for job, _ in by_kind["rescued"])


def test_a_job_is_retried_once_and_never_before_it_has_ended(arena: Arena, seed: int) -> None:
    ids = fill(arena.store, 120)
    notes = [note for each in arena.run("retry", seed=seed, ids=ids) for note in each]
    assert Counter(job for kind, job in notes if kind == "died") == Counter(ids)
    assert Counter(job for kind, job in notes if kind == "retried") == Counter(ids)
    assert set(states(arena.store).values()) == {JobState.PENDING}


def test_of_two_dead_jobs_with_one_key_only_one_comes_back(arena: Arena, seed: int) -> None:
    ids: list[str] = []
    for _ in (1, 2):  # the second of each pair gets the key once the first is dead
        ids += [fill(arena.store, 1, unique_key=f"key-{number}")[0] for number in range(40)]
        rows = arena.store.step(99, (), [ClaimRequest(40, lease=HOUR)]).claimed
        ends = [Outcome.failed(row, ERROR, delay=0, retention=None) for row in rows]
        assert not arena.store.step(99, ends, ()).lost
        arena.store.cancel([row.id for row in rows], LIVE, retention=None)
    notes = [note for each in arena.run("retry", seed=seed, ids=ids) for note in each]
    assert len([job for kind, job in notes if kind == "retried"]) == 40
    final = states(arena.store)
    for number in range(40):
        pair = {final[ids[number]], final[ids[number + 40]]}
        assert pair == {JobState.PENDING, JobState.CANCELLED}


def test_readers_see_whole_jobs_or_none_while_they_are_deleted(arena: Arena) -> None:
    ids = fill(arena.store, 300, tags=("raced",))
    rows = arena.store.step(1, (), [ClaimRequest(300, lease=HOUR)]).claimed
    arena.store.step(1, [Outcome.completed(row, b"1", retention=1) for row in rows], ())
    notes = [note for each in arena.run("expire", ids=ids) for note in each]
    assert [what for kind, what in notes if kind == "odd"] == []
    assert sum(number for kind, number in notes if kind == "deleted") == 300
    assert arena.store.counts(exact=True) == dict.fromkeys(JobState, 0)
