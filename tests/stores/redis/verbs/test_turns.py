"""Queues take turns; those that have nothing to give hold up no other, however many they are."""

from __future__ import annotations

import pytest

from millrace.conformance.bench import ANN, BEN, Bench
from millrace.messages import ClaimRequest, QueueSettings
from millrace.stores.redis.claim import Claim
from millrace.stores.redis.record import worker_bytes
from millrace.stores.redis.session import Session
from tests.stores.redis.verbs.conftest import OpenStore


def test_a_queue_that_was_alone_is_behind_the_next_that_comes(bench: Bench) -> None:
    bench.add_some(20, queue="first")
    bench.take()
    bench.add_some(2, queue="second")
    assert {bench.take().queue, bench.take().queue} == {"first", "second"}


@pytest.mark.parametrize("asked", [None, ("a", "b", "c", "d")])
def test_each_of_several_is_served_in_as_many_claims(bench: Bench, asked: tuple[str, ...] | None) -> None:
    for queue in ("a", "b", "c", "d"):
        bench.add_some(30, queue=queue)
    for _ in range(5):
        served = [bench.claim(limit=2, queues=asked)[0].queue for _ in range(4)]
        assert sorted(served) == ["a", "b", "c", "d"]


def test_turns_are_taken_within_a_priority(bench: Bench, store: OpenStore) -> None:
    for queue, priority in (("a", 1), ("b", 1), ("c", 0), ("d", 0)):
        store.set_queue(queue, QueueSettings(priority=priority))
        bench.add_some(2, queue=queue)
    served = [bench.take().queue for _ in range(8)]
    assert [sorted(served[at : at + 2]) for at in range(0, 8, 2)] == [["a", "b"], ["a", "b"], ["c", "d"], ["c", "d"]]


def test_queues_whose_tasks_nobody_here_knows_hold_up_no_other(bench: Bench) -> None:
    for number in range(50):
        bench.add(queue=f"q{number}", task="unknown")
    id = bench.add(queue="last", task="known")
    assert bench.take(tasks=frozenset({"known"})).id == id


def test_more_full_queues_than_a_claim_looks_at_hold_up_no_other_for_long(bench: Bench, store: OpenStore) -> None:
    for number in range(1010):
        store.set_queue(f"full {number}", QueueSettings(priority=1, concurrency=0))
    bench.store.insert([bench.row(queue=f"full {number}") for number in range(1010)])
    for number in range(3):
        store.set_queue(f"open {number}", QueueSettings(priority=1))
        bench.add(queue=f"open {number}")
    claimed = [row.queue for _ in range(3) for row in bench.claim(limit=5)]
    assert sorted(claimed) == ["open 0", "open 1", "open 2"]


def test_a_limit_holds_for_all_claims_of_one_trip(bench: Bench, store: OpenStore, session: Session) -> None:
    store.set_queue("mail", QueueSettings(concurrency=5))
    bench.add_some(50, queue="mail")
    claims = [Claim(worker_bytes(worker), ClaimRequest(4), 4) for worker in (ANN, BEN)]
    for claim, reply in zip(claims, session.trip([claim.call for claim in claims]), strict=True):
        claim.read(reply)
    assert [len(claim.rows) for claim in claims] == [4, 1]


def test_an_emptied_queue_leaves_nothing_behind(bench: Bench, session: Session) -> None:
    for number in range(5):
        bench.add(queue=f"q{number}", task=f"t{number}")
    rows = bench.claim()
    for key in ("turns", "tasks:q0", "line:q0\0t0"):
        assert session.command("EXISTS", session.keys.key(key)) == 0
    bench.end("released", rows[2])
    assert session.command("ZRANGE", session.keys.key("turns"), 0, -1) == [rows[2].queue.encode()]
