"""What a verb costs in statements, in statements that SQLite must prepare, and in bytes of the log."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millrace.conformance.bench import ANN, ENDINGS, KEPT, LEASE, Bench
from millrace.job import JobRow, Progress
from millrace.messages import Beat, ClaimRequest, QueueSettings
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE
from millrace.stores.sqlite import SQLiteStore
from millrace.testing.clock import ManualClock

CACHED = 256  #: statements that the driver keeps prepared
TRANSACTION = ["BEGIN IMMEDIATE", "COMMIT"]


@pytest.fixture
def store(statements: list[str], path: Path, clock: ManualClock) -> Any:  # noqa: ARG001 - before the store
    """A store whose statements are written down."""
    store = SQLiteStore(path, synchronous="normal", clock=clock)
    yield store
    store.close()


def completed(row: JobRow) -> Outcome:
    return Outcome.completed(row, None, retention=KEPT)


def cost(statements: list[str], work: Callable[[], object]) -> int:
    """Count the statements of some work, its BEGIN and COMMIT included, what an idle moment is used for left out."""
    statements.clear()
    work()
    return sum(not statement.startswith("PRAGMA") for statement in statements)


@pytest.mark.parametrize("number", [1, 100, 1000])
def test_claim_finish_and_step_take_the_same_few_statements_for_any_number(
    bench: Bench, store: SQLiteStore, statements: list[str], number: int
) -> None:
    bench.add_some(2 * number)
    request = [ClaimRequest(number)]
    first = store.step(ANN, (), request).claimed  # also reads the lanes, once
    again = [completed(row) for row in first]

    def fused() -> None:
        first[:] = store.step(ANN, again, request).claimed  # type: ignore[index]

    assert cost(statements, fused) == 7  # BEGIN, finish, count, look, heads, mark, COMMIT
    assert statements[:1] + statements[-1:] == TRANSACTION
    assert number == len(first)
    assert cost(statements, lambda: store.step(ANN, [completed(row) for row in first], ())) == 4


@pytest.mark.parametrize("number", [1, 100, 1000])
def test_a_mixed_batch_takes_the_same_few_statements_for_any_number(
    bench: Bench, store: SQLiteStore, statements: list[str], number: int
) -> None:
    rows: list[JobRow] = []
    for ending in ENDINGS:
        bench.add_some(number, queue=ending)
        rows += bench.claim(limit=number, queues=(ending,))
    endings = [ENDINGS[row.queue](row) for row in rows]

    def mixed() -> None:
        for start in range(0, len(endings), 1000):
            store.step(ANN, endings[start : start + 1000], ())

    steps = -(-len(endings) // 1000)
    # BEGIN, successes, their results, the others, attempts, errors, counters, COMMIT
    assert cost(statements, mixed) <= 8 * steps


@pytest.mark.parametrize("number", [1, 100])
def test_other_verbs_take_the_same_statements_for_any_number(
    bench: Bench, store: SQLiteStore, statements: list[str], number: int
) -> None:
    ids = bench.add_some(number)
    rows = bench.claim()
    beats = [Beat(row.ref, row.id, row.claim, LEASE, Progress(0.5), b"1") for row in rows]
    lines = [LogRow(row.ref, row.id, row.claim, 0, 20, "hello") for row in rows]
    assert cost(statements, lambda: store.extend(ANN, beats)) == 5  # leases, progress, results
    assert cost(statements, lambda: store.log(ANN, lines)) == 5  # fence, lines, too long a log?
    assert cost(statements, lambda: store.cancel(ids, CANCELLABLE, retention=KEPT)) == 5  # read, ask, read again
    assert cost(statements, lambda: bench.lose(*rows)) == 7 + 1  # a look; rescue, attempts, errors, counters, names
    assert cost(statements, lambda: store.retry(ids, RETRYABLE)) == 9  # read, change, clear three, count, read again
    assert cost(statements, lambda: store.reschedule(ids, RESCHEDULABLE, due=0)) == 5
    assert cost(statements, lambda: store.get(ids)) == 1
    assert (
        cost(statements, lambda: store.delete(ids, DELETABLE)) == 2 + 1 + 8
    )  # read; the job, its number, six children


def test_a_look_that_finds_nothing_takes_no_lock(bench: Bench, store: SQLiteStore, statements: list[str]) -> None:
    bench.add(task="unknown here")
    request = [ClaimRequest(10, tasks=frozenset({"work"}))]
    store.step(ANN, (), request)

    assert cost(statements, lambda: store.step(ANN, (), request)) == 1
    assert cost(statements, bench.rescue) == 1
    assert cost(statements, store.promote) == 1
    assert cost(statements, store.expire) == 1
    assert "BEGIN IMMEDIATE" not in statements


def test_a_queue_that_runs_all_it_may_costs_the_idle_no_lock(
    bench: Bench, store: SQLiteStore, statements: list[str]
) -> None:
    store.set_queue("tight", QueueSettings(concurrency=1))
    bench.add_some(3, queue="tight")
    assert len(bench.claim()) == 1
    assert bench.claim() == []

    assert cost(statements, bench.claim) == 2  # the look, and what runs


def test_a_single_insert_is_one_statement_and_no_other_once_its_lane_is_known(
    bench: Bench, store: SQLiteStore, statements: list[str]
) -> None:
    bench.add()
    row = bench.row()

    assert cost(statements, lambda: store.insert([row])) == 1  # a transaction by itself
    assert [found.id for found in store.get([row.id]) if found] == [row.id]
    assert cost(statements, lambda: store.insert([bench.row(tags=("red",))])) == 4  # BEGIN, job, tag, COMMIT


def test_a_single_insert_that_meets_its_own_id_or_key_reads_what_is_there(
    bench: Bench, store: SQLiteStore, statements: list[str]
) -> None:
    first = bench.row(unique_key="one")
    store.insert([first])
    second = bench.row(unique_key="one")

    assert cost(statements, lambda: store.insert([second])) > 1
    answer = store.insert([second])
    assert {index: existing.row.id for index, existing in answer.existing.items()} == {0: first.id}
    assert store.get([second.id]) == [None]


def test_after_a_while_no_statement_is_new_whatever_the_numbers(bench: Bench, statements: list[str]) -> None:
    chance = random.Random(1)

    def live(number: int) -> None:
        bench.add_some(number)
        rows = bench.claim(limit=number)
        outcomes = [ENDINGS[chance.choice(sorted(ENDINGS))](row) for row in rows]
        bench.store.extend(ANN, [Beat(row.ref, row.id, row.claim, LEASE) for row in rows])
        bench.finish(ANN, *outcomes)
        bench.later(7200)
        bench.store.expire()

    for number in range(1, 129):
        live(number)
    known = set(statements)
    statements.clear()
    for _ in range(30):
        live(chance.randrange(1, 129))

    assert set(statements) - known == set()
    assert len(known) <= CACHED


def test_a_jobs_life_writes_a_bounded_number_of_bytes_to_the_log(bench: Bench, store: SQLiteStore, path: Path) -> None:
    bench.add()
    log = Path(f"{path}-wal")
    before = log.stat().st_size
    rows: list[JobRow] = []
    for _ in range(20):
        bench.add_some(100, args=b'"' + b"x" * 200 + b'"')
    for _ in range(20):
        rows = list(store.step(ANN, [completed(row) for row in rows], [ClaimRequest(100)]).claimed)
    written = log.stat().st_size - before

    # about 0.9 KB going in and 1.5 KB for claim and finish, in batches of a hundred
    assert written / 2000 < 3000
