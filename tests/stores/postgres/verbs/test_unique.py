"""Unique keys between transactions: who comes second waits for the first, whichever way that ends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from millrace.conformance.bench import Bench
from millrace.ids import new_id
from millrace.messages import JobFilter, NewRow
from millrace.states import RETRYABLE, JobState
from millrace.stores.postgres import PostgresStore
from tests.servers.databases import Database
from tests.stores.postgres.verbs.conftest import InThread, blocked, until

THREADS = 50


def row(key: str) -> NewRow:
    return NewRow(id=new_id(), task="work", queue="default", args=b"{}", unique_key=key)


def test_of_fifty_threads_half_of_which_roll_back_one_has_each_key(store: PostgresStore, postgres: Database) -> None:
    keys = [f"k{n}" for n in range(5)]
    start = threading.Barrier(THREADS)

    def race(number: int) -> int:
        with psycopg.connect(postgres.server) as connection:
            start.wait(30)
            answer = store.insert_on(connection, [row(key) for key in keys])
            if number % 2:
                connection.rollback()
                return 0
            connection.commit()
            return len(keys) - len(answer.existing)

    store.depth()
    with ThreadPoolExecutor(THREADS) as pool:
        answered = sum(pool.map(race, range(THREADS)))
    assert answered == len(keys) == store.depth()


def test_bulk_inserts_of_the_same_keys_in_opposite_orders_do_not_deadlock(store: PostgresStore) -> None:
    rounds = [[f"{n}-{m}" for m in range(100)] for n in range(10)]
    start = threading.Barrier(2)

    def insert(step: int) -> int:
        start.wait(30)
        return sum(len(keys) - len(store.insert([row(key) for key in keys[::step]]).existing) for keys in rounds)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(insert, (1, -1))) == 1000 == store.depth()


@pytest.mark.parametrize("commits", [True, False])
def test_an_insert_waits_for_the_transaction_that_took_its_key(
    store: PostgresStore, postgres: Database, *, commits: bool
) -> None:
    first, second = row("k"), row("k")
    store.depth()
    with psycopg.connect(postgres.server) as connection:
        store.insert_on(connection, [first])
        insert = InThread(lambda: store.insert([second, row("other")]))
        until(lambda: blocked(postgres))
        assert insert.under_way
        (connection.commit if commits else connection.rollback)()
        existing = insert.answer().existing
    assert {place: there.row.id for place, there in existing.items()} == ({0: first.id} if commits else {})
    assert store.depth() == 2


def test_a_retry_waits_for_the_transaction_that_took_its_key(
    bench: Bench, store: PostgresStore, postgres: Database
) -> None:
    ended = bench.bring(JobState.DEAD, unique_key="k")
    holder = row("k")
    with psycopg.connect(postgres.server) as connection:
        store.insert_on(connection, [holder])
        retry = InThread(lambda: store.retry([ended], RETRYABLE))
        until(lambda: blocked(postgres))
        connection.commit()
        (changed,) = retry.answer()
    assert not changed.changed
    assert changed.holder is not None
    assert changed.holder.id == holder.id
    assert bench.state(ended) is JobState.DEAD


def test_a_key_whose_holder_ends_while_an_insert_waits_is_taken(bench: Bench, postgres: Database) -> None:
    holder = bench.add(unique_key="k")
    claimed = bench.take()
    with psycopg.connect(postgres.server, options=f"-c search_path={postgres.schema}") as connection:
        connection.execute(
            "update job set state = 5, lock_key = null, finished_at = 1, lease_until = null where id = %s",
            [holder.hex()],
        )
        fresh = row("k")
        insert = InThread(lambda: bench.store.insert([fresh]))
        until(lambda: blocked(postgres))
        connection.commit()
        assert insert.answer().existing == {}
    assert bench.state(fresh.id) is JobState.PENDING
    assert bench.end("completed", claimed).lost == frozenset({0})


def test_an_id_and_a_key_that_both_stand_in_the_way_are_told_by_the_id(bench: Bench) -> None:
    one = bench.add(unique_key="a")
    bench.add(unique_key="b")
    both = NewRow(id=one, task="work", queue="default", args=b"{}", unique_key="b")
    answer = bench.store.insert([both])
    assert (answer.existing[0].row.id, answer.existing[0].by_key) == (one, False)


def test_twins_of_an_id_and_of_a_key_in_one_call_are_told_apart(bench: Bench) -> None:
    first = row("a")
    same_id = NewRow(id=first.id, task="work", queue="default", args=b"{}", unique_key="b")
    same_key, last = row("a"), row("b")
    answer = bench.store.insert([first, same_id, same_key, last])
    told = {place: (there.row.id, there.by_key) for place, there in answer.existing.items()}
    assert told == {1: (first.id, False), 2: (first.id, True)}
    assert bench.state(last.id) is JobState.PENDING


def test_a_deleted_holder_frees_its_key_for_the_next_of_a_long_line(bench: Bench, store: PostgresStore) -> None:
    for _ in range(3):
        id = bench.add(unique_key="k")
        assert store.insert([row("k")]).existing[0].row.id == id
        store.cancel([id], frozenset({JobState.PENDING}), retention=0)
        assert bench.is_gone(id)


def test_a_holder_that_is_claimed_between_the_look_and_the_change_is_told_as_it_runs(
    bench: Bench, postgres: Database
) -> None:
    id = bench.add(unique_key="k", args=b"[1]")
    with psycopg.connect(postgres.server, options=f"-c search_path={postgres.schema}") as connection:
        connection.execute("update job set state = 2, claim = 1, started_at = 1 where id = %s", [id.hex()])
        change = InThread(lambda: bench.store.insert([bench.row(unique_key="k", args=b"[2]", on_conflict="replace")]))
        until(lambda: blocked(postgres))
        connection.commit()
        told = change.answer().existing[0].row
    assert (told.id, told.state, told.args) == (id, JobState.RUNNING, b"[1]")
    assert bench.job(id).args == b"[1]"


def test_a_holder_that_ends_between_the_look_and_the_change_lets_the_new_job_in(
    bench: Bench, postgres: Database
) -> None:
    id = bench.add(unique_key="k")
    fresh = bench.row(unique_key="k", args=b"[2]", on_conflict="debounce")
    with psycopg.connect(postgres.server, options=f"-c search_path={postgres.schema}") as connection:
        connection.execute("delete from job where id = %s", [id.hex()])
        change = InThread(lambda: bench.store.insert([fresh]))
        until(lambda: blocked(postgres))
        connection.commit()
        assert change.answer().existing == {}
    assert bench.job(fresh.id).args == b"[2]"


def test_a_job_that_is_retried_while_its_key_is_taken_over_keeps_it(bench: Bench, postgres: Database) -> None:
    id = bench.bring(JobState.FAILED, unique_key="k", options=b'{"until":"started"}')
    with psycopg.connect(postgres.server, options=f"-c search_path={postgres.schema}") as connection:
        connection.execute(
            "update job set state = 1, started_at = null, rev = rev + 1, lock_key = unique_key where id = %s",
            [id.hex()],
        )
        insert = InThread(lambda: bench.store.insert([bench.row(unique_key="k")]))
        until(lambda: blocked(postgres))
        connection.commit()
        assert insert.answer().existing[0].row.id == id


def test_bulk_changes_of_the_same_holders_in_opposite_orders_do_not_deadlock(
    bench: Bench, store: PostgresStore
) -> None:
    keys = [f"k{n}" for n in range(100)]
    store.insert([row(key) for key in keys])
    start = threading.Barrier(2)

    def change(step: int) -> int:
        start.wait(30)
        rows = [bench.row(unique_key=key, args=b"[1]", on_conflict="replace") for key in keys[::step]]
        return sum(len(store.insert(rows).existing) for _ in range(10))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(change, (1, -1))) == [1000, 1000]
    jobs, _ = store.page(JobFilter(), limit=1000)
    assert {job.rev for job in jobs} == {20}


def test_one_that_rejects_is_refused_by_a_holder_of_another_transaction(
    store: PostgresStore, postgres: Database
) -> None:
    holder = row("k")
    rows = [row("a"), NewRow(id=new_id(), task="work", queue="q", args=b"{}", unique_key="k", on_conflict="reject")]
    store.depth()
    with psycopg.connect(postgres.server) as connection:
        store.insert_on(connection, [holder])
        insert = InThread(lambda: store.insert(rows))
        until(lambda: blocked(postgres))
        connection.commit()
        answer = insert.answer()
    assert (answer.refused, answer.existing[1].row.id) == (1, holder.id)
    assert store.get([each.id for each in rows]) == [None, None]
