"""Whose turn it is: many queues, many lanes, limits, and floods of due jobs."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ENDINGS, Bench
from millrace.groups import Group, encode_group
from millrace.messages import ClaimRequest, QueueSettings
from millrace.store import Store
from millrace.stores.sqlite import SQLiteStore, claim
from millrace.stores.sqlite.session import Session
from millrace.testing.clock import ManualClock


@pytest.mark.parametrize("queues", [2, 3, 40])
def test_queues_of_one_priority_take_turns_job_by_job(bench: Bench, queues: int) -> None:
    names = [f"q{number:02}" for number in range(queues)]
    for name in names:
        bench.add_some(3, queue=name)
    served = [bench.take().queue for _ in range(3 * queues)]

    for turn in range(3):
        assert names == sorted(served[turn * queues : (turn + 1) * queues])


@pytest.mark.parametrize("queues", [2, 3, 40])
def test_a_large_claim_is_shared_out_evenly(bench: Bench, queues: int) -> None:
    for number in range(queues):
        bench.add_some(20, queue=f"q{number}")
    shares = Counter(row.queue for row in bench.claim(limit=10 * queues))

    assert {10} == set(shares.values())
    assert queues == len(shares)


def test_what_one_queue_leaves_of_its_share_goes_to_the_others(bench: Bench) -> None:
    bench.add_some(2, queue="few")
    bench.add_some(100, queue="many")
    bench.add_some(5, queue="some")

    assert Counter(few=2, many=43, some=5) == Counter(row.queue for row in bench.claim(limit=50))


def test_a_busy_queue_does_not_starve_a_rare_one(bench: Bench) -> None:
    bench.add_some(50, queue="busy", priority=100)
    bench.claim(limit=3)
    bench.add(queue="rare")

    assert "rare" in {bench.take().queue for _ in range(2)}


@pytest.mark.parametrize("lanes", [33, 1500])
def test_order_holds_in_a_queue_of_many_lanes(bench: Bench, lanes: int) -> None:
    rows = [bench.row(task=f"task{number}", priority=number * 7 % 10) for number in range(lanes)]
    bench.store.insert(rows)
    expected = sorted(rows, key=lambda row: (-row.priority, row.id))[:20]

    assert [row.id for row in expected] == [row.id for row in bench.claim(limit=20)]


def test_the_limit_counts_all_tasks_of_a_queue(bench: Bench, store: Store) -> None:
    store.set_queue("tight", QueueSettings(concurrency=1))
    bench.add_some(2, queue="tight", task="one")
    bench.add(queue="tight", task="two")
    first = bench.take(tasks=frozenset({"one"}))

    assert bench.claim(tasks=frozenset({"two"})) == []
    bench.end("completed", first)
    assert len(bench.claim()) == 1


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_a_limit_below_what_runs_already_lets_no_more_run(bench: Bench, store: Store, limit: int) -> None:
    bench.add_some(10, queue="tight")
    bench.add_some(10, queue="wide")
    bench.claim(limit=3, queues=("tight",))
    store.set_queue("tight", QueueSettings(concurrency=limit))

    assert {"wide"} == {row.queue for row in bench.claim(limit=15)}


def test_requests_of_one_step_count_each_others_claims(bench: Bench, store: Store) -> None:
    store.set_queue("tight", QueueSettings(concurrency=3))
    bench.add_some(10, queue="tight")
    claimed = store.step(ANN, (), [ClaimRequest(2), ClaimRequest(2), ClaimRequest(2)]).claimed

    assert len(claimed) == 3
    assert len({row.id for row in claimed}) == 3


@pytest.mark.parametrize("flood", [10, 11, 25])
def test_a_flood_of_due_jobs_is_promoted_in_parts_and_all_of_it_counts_for_the_order(
    bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, flood: int
) -> None:
    monkeypatch.setattr(claim, "MOST_PROMOTED", 10)
    ended = bench.add()
    running = bench.take()
    bench.add_some(flood - 1, delay=SECOND)
    urgent = bench.add(delay=2 * SECOND, priority=1)
    bench.later(3)
    answer = store.step(ANN, [ENDINGS["completed"](running)], [ClaimRequest(1)])

    assert [urgent] == [row.id for row in answer.claimed]
    assert answer.lost == frozenset()
    assert bench.state(ended).value == "completed"
    assert store.depth() == flood - 1


def test_lanes_made_elsewhere_are_seen_at_once(bench: Bench, path: Path) -> None:
    bench.add()
    bench.claim()
    other = SQLiteStore(path, synchronous="normal", clock=bench.clock)
    try:
        elsewhere = bench.row(queue="elsewhere", task="elsewhere")
        other.insert([elsewhere])
        assert [elsewhere.id] == [row.id for row in bench.claim()]
        other.pause("elsewhere", paused=True)
        bench.add(queue="elsewhere")
        assert bench.claim() == []
    finally:
        other.close()


def test_a_look_goes_on_where_another_claims_the_last_job_of_a_limited_lane_meanwhile(
    bench: Bench, store: SQLiteStore, path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(group=encode_group(Group(limit=2)))
    read: Any = Session.values_rows

    def late(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(Session, "values_rows", read)
        assert 1 == len(other.step(BEN, [], [ClaimRequest(1, lease=SECOND)]).claimed)
        return read(*given, **options)

    with closing(SQLiteStore(path, clock=clock)) as other:
        monkeypatch.setattr(Session, "values_rows", late)
        assert [] == list(store.step(ANN, [], [ClaimRequest(1, lease=SECOND)]).claimed)
