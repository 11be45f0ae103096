"""Each verb runs a number of statements that does not grow with its jobs: one for a claim, one for all outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ENDINGS, HOUR, KEPT, LEASE, Bench
from millrace.job import Progress
from millrace.messages import Beat, ClaimRequest, QueueSettings
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import CANCELLABLE, DELETABLE, RESCHEDULABLE, RETRYABLE
from millrace.stores.postgres import PostgresStore
from millrace.stores.postgres.connection import Connection

MANY = 300


class Counter:
    """Counts the statements and the trips of the thread that made it: notices are sent by another, some time later."""

    def __init__(self) -> None:
        self.statements = self.trips = 0
        self._thread = threading.get_ident()

    def count(self, statements: int = 1) -> None:
        """Count a trip."""
        if threading.get_ident() == self._thread:
            self.statements += statements
            self.trips += 1

    @contextmanager
    def counted(self) -> Generator[None]:
        """Begin at nothing."""
        self.statements = self.trips = 0
        yield


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    rows, execute, trip = Connection.rows, Connection.execute, Connection.trip

    def counted_rows(self: Connection, text: str, args: Mapping[str, Any]) -> list[Any]:
        counter.count()
        return rows(self, text, args)

    def counted_execute(self: Connection, text: str, args: Mapping[str, Any]) -> int:
        counter.count()
        return execute(self, text, args)

    def counted_trip(self: Connection, statements: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Any]]:
        counter.count(len(statements))
        return trip(self, statements)

    monkeypatch.setattr(Connection, "rows", counted_rows)
    monkeypatch.setattr(Connection, "execute", counted_execute)
    monkeypatch.setattr(Connection, "trip", counted_trip)
    return counter


def test_a_claim_in_flow_is_one_statement(bench: Bench, counter: Counter) -> None:
    bench.add_some(2 * MANY)
    bench.claim(limit=1)
    with counter.counted():
        assert len(bench.claim(limit=MANY)) == MANY
    assert counter.statements == 1


def test_a_claim_of_one_queue_and_of_some_tasks_is_one_statement_too(bench: Bench, counter: Counter) -> None:
    bench.add_some(2 * MANY)
    request: dict[str, Any] = {"queues": ("default",), "tasks": frozenset({"work"}), "leases": {"work": LEASE}}
    bench.claim(limit=1, **request)
    with counter.counted():
        assert len(bench.claim(limit=MANY, **request)) == MANY
    assert counter.statements == 1


def test_a_step_in_flow_is_two_statements_in_one_trip(bench: Bench, store: PostgresStore, counter: Counter) -> None:
    bench.add_some(2 * MANY)
    rows = bench.claim(limit=MANY)
    outcomes = [list(ENDINGS.values())[n % len(ENDINGS)](row) for n, row in enumerate(rows)]
    with counter.counted():
        answer = store.step(ANN, outcomes, [ClaimRequest(MANY)])
    assert (len(answer.claimed), answer.lost) == (MANY, frozenset())
    assert (counter.statements, counter.trips) == (2, 1)


def test_a_queue_with_a_limit_costs_one_statement_more_and_no_trip(
    bench: Bench, store: PostgresStore, counter: Counter
) -> None:
    store.set_queue("default", QueueSettings(concurrency=50))
    bench.add_some(MANY)
    rows = bench.claim(limit=MANY)
    outcomes = [Outcome.completed(row, None, retention=KEPT) for row in rows]
    with counter.counted():
        assert len(store.step(ANN, outcomes, [ClaimRequest(MANY)]).claimed) == 50
    assert (counter.statements, counter.trips) == (3, 1)
    bench.add_some(2 * MANY, queue="free")
    bench.claim(queues=("free",), limit=1)
    with counter.counted():
        assert len(bench.claim(queues=("free",), limit=MANY)) == MANY
    assert counter.statements == 1  # and those of other queues nothing


@pytest.mark.parametrize("retention", [KEPT, 0, None])
def test_successes_are_one_statement(bench: Bench, counter: Counter, retention: int | None) -> None:
    bench.add_some(MANY)
    outcomes = [Outcome.completed(row, b"1", retention=retention) for row in bench.claim()]
    with counter.counted():
        bench.finish(ANN, *outcomes)
    assert counter.statements == 1


def test_an_idle_worker_asks_one_question(bench: Bench, counter: Counter) -> None:
    bench.claim()
    with counter.counted():
        assert bench.claim() == []
    assert counter.statements == 1


def test_a_claim_with_due_jobs_promotes_them_by_one_statement_more(bench: Bench, counter: Counter) -> None:
    bench.add_some(MANY, delay=SECOND)
    bench.claim()
    bench.later(2)
    with counter.counted():
        assert len(bench.claim(limit=MANY)) == MANY
    assert counter.statements == 3  # the look, the promotion, the claim


def test_an_insert_is_one_statement_and_two_where_something_stood_in_its_way(bench: Bench, counter: Counter) -> None:
    rows = [bench.row(unique_key=f"k{n}", tags=("a", "b")) for n in range(MANY)]
    with counter.counted():
        bench.store.insert(rows)
    assert counter.statements == 1
    with counter.counted():
        assert len(bench.store.insert([*rows, bench.row(unique_key="k1"), bench.row()]).existing) == MANY + 1
    assert counter.statements == 2


def test_beats_and_log_lines_are_one_or_two_statements(bench: Bench, store: PostgresStore, counter: Counter) -> None:
    bench.add_some(MANY)
    rows = bench.claim()
    with counter.counted():
        store.extend(ANN, [Beat(0, row.id, row.claim, LEASE, Progress(0.5), b"1") for row in rows])
    assert counter.statements == 1
    with counter.counted():
        store.log(ANN, [LogRow(0, row.id, row.claim, 0, 20, "x") for row in rows])
    assert counter.statements == 2  # the lines, and the trimming


CHANGES: dict[str, Callable[[PostgresStore, Sequence[bytes]], object]] = {
    "reschedule": lambda store, ids: store.reschedule(ids, RESCHEDULABLE, due=store.now() + HOUR),
    "cancel": lambda store, ids: store.cancel(ids, CANCELLABLE, retention=KEPT),
    "retry": lambda store, ids: store.retry(ids, RETRYABLE),
    "read": lambda store, ids: store.get(ids),
    "delete": lambda store, ids: store.delete(ids, DELETABLE),
}


def test_a_verb_on_many_jobs_is_one_statement(bench: Bench, store: PostgresStore, counter: Counter) -> None:
    ids = bench.add_some(MANY, tags=("t",))
    for name, change in CHANGES.items():
        with counter.counted():
            change(store, ids)
        assert counter.statements == 1, name


def test_rescue_promotion_and_expiry_are_one_statement(bench: Bench, store: PostgresStore, counter: Counter) -> None:
    bench.add_some(MANY, max_crashes=1)
    bench.claim()
    bench.add_some(MANY, delay=SECOND)
    bench.later(LEASE / SECOND + 1)
    with counter.counted():
        assert len(bench.rescue(limit=MANY)) == MANY
        assert store.promote(limit=MANY) == MANY
    assert counter.statements == 2
    bench.later(2 * KEPT / SECOND)
    with counter.counted():
        assert store.expire(limit=MANY) == MANY
    assert counter.statements == 1
