"""The traps of READ COMMITTED, each staged with a second session that holds a row at the moment that counts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from millrace.conformance.bench import ANN, BEN, ENDINGS, KEPT, LEASE, Bench
from millrace.messages import Beat, ClaimRequest
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, RETRYABLE, JobState
from millrace.stores.postgres import PostgresStore
from tests.servers.databases import Database
from tests.stores.postgres.verbs.conftest import InThread, blocked, until

Session = psycopg.Connection[Any]

RESCUED = "update job set state = 1, crashes = crashes + 1, rev = rev + 1, lease_until = null where id = %s"
CLAIMED = """update job set state = 2, claim = claim + 1, attempt = attempt + 1, worker = 99, lease_until = 9e15
 where id = %s"""
ASKED_TO_CANCEL = "update job set state = 3, rev = rev + 1 where id = %s and state = 2"


def uuid(id: bytes) -> str:
    return id.hex()


def test_a_finish_loses_to_a_rescue_that_commits_first_and_keeps_the_rest(
    bench: Bench, postgres: Database, other: Session
) -> None:
    bench.add_some(3)
    rows = bench.claim()
    other.execute(RESCUED, [uuid(rows[1].id)])
    finish = InThread(lambda: bench.finish(ANN, *(Outcome.completed(row, None, retention=KEPT) for row in rows)))
    until(lambda: blocked(postgres))
    other.commit()
    assert finish.answer().lost == frozenset({1})
    assert bench.states([row.id for row in rows]) == [JobState.COMPLETED, JobState.PENDING, JobState.COMPLETED]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cancel_that_commits_during_a_finish_is_seen_by_it(
    bench: Bench, postgres: Database, other: Session, ending: str
) -> None:
    bench.add()
    row = bench.take()
    other.execute(ASKED_TO_CANCEL, [uuid(row.id)])
    finish = InThread(lambda: bench.end(ending, row))
    until(lambda: blocked(postgres))
    other.commit()
    assert finish.answer().lost == frozenset()
    expected = ending if ending in {"completed", "dead"} else "cancelled"
    assert bench.state(row.id).value == expected


def test_a_cancel_during_a_finish_that_keeps_nothing_leaves_nothing(
    bench: Bench, postgres: Database, other: Session
) -> None:
    """The outcome goes the way of an update, and the cancel that wins makes it one that is not kept."""
    bench.add()
    row = bench.take()
    other.execute(ASKED_TO_CANCEL, [uuid(row.id)])
    finish = InThread(lambda: bench.finish(ANN, Outcome.released(row, retention=0)))
    until(lambda: blocked(postgres))
    other.commit()
    assert finish.answer().resulting == {0: JobState.CANCELLED}
    assert bench.is_gone(row.id)


def test_a_cancel_that_meets_a_claim_asks_the_worker(bench: Bench, postgres: Database, other: Session) -> None:
    id = bench.add()
    other.execute(CLAIMED, [uuid(id)])
    cancel = InThread(lambda: bench.store.cancel([id], CANCELLABLE, retention=KEPT))
    until(lambda: blocked(postgres))
    other.commit()
    (changed,) = cancel.answer()
    assert changed.changed
    assert changed.row is not None
    assert (changed.row.state, changed.row.worker) == (JobState.CANCELLING, 99)


def test_a_retry_that_meets_a_claim_changes_nothing(bench: Bench, postgres: Database, other: Session) -> None:
    id = bench.bring(JobState.FAILED)
    other.execute(CLAIMED, [uuid(id)])
    retry = InThread(lambda: bench.store.retry([id], RETRYABLE))
    until(lambda: blocked(postgres))
    other.commit()
    assert [each.changed for each in retry.answer()] == [False]
    assert bench.state(id) is JobState.RUNNING


def test_an_extension_waits_for_nobody(bench: Bench, other: Session) -> None:
    """Two statements over the same rows in opposite order would deadlock, if either waited."""
    bench.add_some(3)
    rows = bench.claim()
    other.execute("update job set rev = rev + 1 where id = %s", [uuid(rows[1].id)])
    at = bench.later(5)
    beats = [Beat(0, row.id, row.claim, LEASE) for row in rows]
    assert bench.store.extend(ANN, beats) == [JobState.RUNNING] * 3
    other.rollback()
    assert [bench.job(row.id).lease for row in rows] == [at + LEASE, rows[1].lease, at + LEASE]


@pytest.mark.parametrize("verb", ["finish", "cancel"])
def test_writers_take_rows_in_the_order_of_ids(bench: Bench, postgres: Database, other: Session, verb: str) -> None:
    """While one waits for the lower id it holds none that is higher: two such can never wait for each other."""
    low, high = bench.add_some(2)
    rows = bench.claim()
    other.execute("update job set rev = rev + 1 where id = %s", [uuid(low)])
    calls = {
        "finish": lambda: bench.finish(ANN, *(Outcome.released(row, retention=KEPT) for row in rows[::-1])),
        "cancel": lambda: bench.store.cancel([high, low], CANCELLABLE, retention=KEPT),
    }
    call = InThread[object](calls[verb])
    until(lambda: blocked(postgres))
    postgres.run("select 1 from {s}.job where id = %s for update nowait", uuid(high))
    other.rollback()
    call.answer()
    assert bench.state(high) is not JobState.RUNNING


def test_a_claim_passes_by_what_another_holds_and_finds_it_later(bench: Bench, other: Session) -> None:
    first, second = bench.add_some(2)
    other.execute("select 1 from job where id = %s for no key update", [uuid(first)])
    assert [row.id for row in bench.claim()] == [second]
    other.rollback()
    assert [row.id for row in bench.claim()] == [first]


def test_a_claim_does_not_take_what_was_put_off_under_its_eyes(bench: Bench, other: Session) -> None:
    """The row that is locked was pending in the statement's snapshot, and is not when its lock is had."""
    id = bench.add()
    bench.store.pause("default", paused=True)
    other.execute("update job set state = 0, due = due + 1000000 where id = %s", [uuid(id)])
    bench.store.pause("default", paused=False)
    assert bench.claim() == []
    other.commit()
    assert bench.claim() == []
    bench.later(2)
    assert bench.take().id == id


def test_what_refers_to_a_job_does_not_keep_it_from_being_claimed_and_finished(bench: Bench, other: Session) -> None:
    """A foreign key of the user's holds the job's row by a lock that only a deletion waits for."""
    id = bench.add()
    other.execute("create temporary table invoice (job uuid)")
    other.execute("select 1 from job where id = %s for key share", [uuid(id)])
    row = bench.take()
    bench.store.extend(ANN, [Beat(0, id, row.claim, LEASE)])
    assert bench.end("completed", row).lost == frozenset()
    other.rollback()
    assert bench.state(id) is JobState.COMPLETED


def test_a_column_that_a_migration_adds_disturbs_no_prepared_statement(bench: Bench, postgres: Database) -> None:
    for _ in range(7):  # past the point at which the server keeps a plan
        bench.end("released", bench.job(bench.add()))
        bench.end("completed", bench.take())
    postgres.run("alter table {s}.job add column later_version text")
    try:
        id = bench.add()
        row = bench.take()
        assert (row.id, bench.job(id)) == (id, row)
        assert bench.end("completed", row).lost == frozenset()
    finally:
        postgres.run("alter table {s}.job drop column later_version")


def test_a_role_whose_default_is_serializable_claims_all_the_same(postgres: Database) -> None:
    url = postgres.url()
    postgres.run("alter database postgres set default_transaction_isolation = 'serializable'")
    try:
        store = PostgresStore(url)
        bench = Bench(store, store)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        rows = [bench.row() for _ in range(200)]
        ids = [row.id for row in rows]
        store.insert(rows)

        def drain(worker: int) -> list[bytes]:
            mine: list[bytes] = []
            done: list[Outcome] = []
            while claimed := store.step(worker, done, [ClaimRequest(7)]).claimed:
                mine += [row.id for row in claimed]
                done = [Outcome.completed(row, None, retention=KEPT) for row in claimed]
            return mine

        with ThreadPoolExecutor(4) as pool:
            assert sorted(id for mine in pool.map(drain, range(1, 5)) for id in mine) == ids
        store.close()
    finally:
        postgres.run("alter database postgres reset default_transaction_isolation")


def test_bulk_changes_in_opposite_orders_end(bench: Bench, store: PostgresStore) -> None:
    ids = bench.add_some(200)
    start = threading.Barrier(2)

    def change(order: list[bytes]) -> int:
        start.wait(30)
        return sum(
            each.changed
            for _ in range(10)
            for each in store.reschedule(order, frozenset({JobState.PENDING}), due=bench.now)
        )

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(change, (ids, ids[::-1]))) == [2000, 2000]


def test_a_claim_of_another_worker_under_the_same_number_is_refused(bench: Bench, other: Session) -> None:
    """On a promoted standby claim numbers repeat: the worker's number is part of the fence."""
    id = bench.add()
    row = bench.take(ANN)
    other.execute("update job set worker = %s where id = %s", [BEN, uuid(id)])  # as if BEN had got claim 1 there
    other.commit()
    assert bench.end("completed", row, ANN).lost == frozenset({0})
    assert bench.end("completed", row, BEN).lost == frozenset()
