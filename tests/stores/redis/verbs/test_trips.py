"""A verb is one trip, of scripts that each do a bounded share."""

from __future__ import annotations

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ENDINGS, KEPT, Bench
from millrace.messages import Beat, ClaimRequest
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.stores.redis import leases, logs
from millrace.stores.redis.claim import promote
from millrace.stores.redis.insert import insert
from millrace.stores.redis.session import Session
from millrace.stores.redis.stepping import Step
from tests.stores.redis.verbs.conftest import Counting


def test_a_step_is_one_trip(bench: Bench, session: Session, counting: Counting) -> None:
    bench.add_some(30)
    rows = bench.claim(limit=10)
    outcomes = [ENDINGS["completed"](row) for row in rows[:5]] + [ENDINGS["failed"](row) for row in rows[5:]]
    answer = Step(ANN, outcomes, [ClaimRequest(5), ClaimRequest(5)])(session)
    assert counting.trips == [["complete", "end", "claim", "claim"]]
    assert (len(answer.claimed), answer.lost) == (10, frozenset())


def test_successes_are_written_by_how_long_they_are_kept(bench: Bench, session: Session, counting: Counting) -> None:
    bench.add_some(9)
    lengths = [KEPT, 0, None]
    outcomes = [Outcome.completed(row, b"1", retention=lengths[n % 3]) for n, row in enumerate(bench.claim())]
    assert Step(ANN, outcomes, ())(session).lost == frozenset()
    assert counting.trips == [["complete", "complete", "end"]]


def test_much_is_cut_into_wholes_of_one_trip(bench: Bench, session: Session, counting: Counting) -> None:
    insert(session, [bench.row() for _ in range(2500)])
    rows = Step(ANN, (), [ClaimRequest(1000)])(session).claimed
    beats = [Beat(row.ref, row.id, row.claim, 5 * SECOND) for row in rows]
    leases.extend(session, ANN, beats)
    logs.add_logs(session, ANN, [LogRow(0, row.id, row.claim, 0, 20, "x") for row in rows])
    Step(ANN, [ENDINGS["completed"](row) for row in rows], ())(session)
    assert counting.trips == [["insert"] * 3, ["claim"] * 2, ["extend"] * 2, ["log"] * 2, ["complete"] * 2]


def test_of_a_large_insert_nothing_is_written_behind_what_rejects(
    bench: Bench, session: Session, counting: Counting
) -> None:
    insert(session, [bench.row(unique_key="held")])
    counting.trips.clear()
    rows = [bench.row(unique_key=f"key {number}", on_conflict="reject") for number in range(1300)]
    rows[700] = bench.row(unique_key="held", on_conflict="reject")
    answer = insert(session, rows)

    assert (answer.refused, answer.kept) == (700, 500)
    assert counting.trips == [["insert"], ["insert"]]
    assert bench.store.depth() == 501


def test_large_jobs_are_cut_by_their_size(bench: Bench, session: Session, counting: Counting) -> None:
    rows = [bench.row(args=b'"' + b"x" * (5 << 20) + b'"') for _ in range(7)]
    assert insert(session, rows).existing == {}
    assert counting.trips == [["insert"] * 3]
    assert [len(row.args) for row in bench.claim()] == [len(row.args) for row in rows]


@pytest.mark.parametrize("tasks", [1, 3])
def test_of_large_jobs_a_claim_takes_no_more_than_it_can_carry_at_once(
    bench: Bench, session: Session, counting: Counting, tasks: int
) -> None:
    rows = [bench.row(task=f"t{n % tasks}", args=b'"' + b"x" * 220_000 + b'"') for n in range(90)]
    insert(session, rows)
    claimed = Step(ANN, (), [ClaimRequest(80)])(session).claimed
    assert [row.id for row in claimed] == [row.id for row in rows[:80]]
    assert counting.trips[1:] == [["claim"]] * 4  # 20 of them are as much as there may be
    assert [row.id for row in bench.claim()] == [row.id for row in rows[80:]]


def test_a_few_due_jobs_are_promoted_by_the_claim_itself(bench: Bench, session: Session, counting: Counting) -> None:
    bench.add_some(100, delay=SECOND)
    session.now = bench.later(2)
    assert len(Step(ANN, (), [ClaimRequest(500)])(session).claimed) == 100
    assert counting.trips == [["claim"]]


def test_many_due_jobs_are_promoted_in_chunks_before_a_claim_chooses(
    bench: Bench, session: Session, counting: Counting
) -> None:
    bench.add_some(2600, delay=SECOND)
    urgent = bench.add(delay=2 * SECOND, priority=1)
    session.now = bench.later(3)
    answer = Step(ANN, (), [ClaimRequest(1), ClaimRequest(1)])(session)
    assert answer.claimed[0].id == urgent
    promoting = [*["promote"] * 4, "claim", "claim"]
    assert counting.trips == [["claim", "claim"], promoting, promoting]
    assert bench.store.depth() == 2599


def test_a_step_that_runs_again_sends_nothing_twice(bench: Bench, session: Session, counting: Counting) -> None:
    bench.add_some(4)
    step = Step(ANN, [ENDINGS["completed"](row) for row in bench.claim(limit=2)], [ClaimRequest(1)])
    first, second = step(session), step(session)
    assert first == second
    assert counting.trips == [["complete", "claim"]]


def test_more_is_promoted_than_a_script_may(bench: Bench, session: Session, counting: Counting) -> None:
    bench.add_some(1200, delay=SECOND)
    session.now = bench.later(2)
    assert (promote(session, 1100), promote(session, 1100)) == (1100, 100)
    assert counting.trips == [["promote"]] * 4
