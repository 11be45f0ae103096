"""Jobs' numbers inside the file: never given twice, and without a trace where one is only kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from millrace.conformance.bench import ANN, HOUR, KEPT, Bench
from millrace.messages import JobFilter
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, DELETABLE, FINAL
from millrace.store import Store
from millrace.stores.sqlite import SQLiteStore


def by_delete(bench: Bench, id: bytes) -> None:
    bench.store.delete([id], DELETABLE)


def by_cancel(bench: Bench, id: bytes) -> None:
    bench.store.cancel([id], CANCELLABLE, retention=0)


def by_success(bench: Bench, id: bytes) -> None:
    (row,) = (row for row in bench.claim() if row.id == id)
    bench.finish(ANN, Outcome.completed(row, None, retention=0))


def by_retention(bench: Bench, id: bytes) -> None:
    bench.cancel(id)
    bench.clock.advance(KEPT / 1_000_000 + 1)
    bench.store.expire()


def by_purge(bench: Bench, id: bytes) -> None:
    bench.cancel(id)
    bench.store.purge(bench.now + HOUR, FINAL)


def by_crash(bench: Bench, id: bytes) -> None:
    (row,) = (row for row in bench.claim() if row.id == id)
    assert row.lease is not None
    bench.store.rescue(retention=0, dead_retention=0, now=row.lease + 1)


WAYS = [by_delete, by_cancel, by_success, by_retention, by_purge, by_crash]


@pytest.mark.parametrize("away", WAYS)
def test_the_number_of_a_deleted_job_is_never_given_again(bench: Bench, away: Callable[[Bench, bytes], None]) -> None:
    numbers: list[int] = []
    for _ in range(3):
        id = bench.add(max_crashes=1)
        numbers.append(bench.job(id).ref)
        away(bench, id)
        assert bench.store.get([id]) == [None]

    assert sorted(set(numbers)) == numbers


def test_a_kept_number_is_seen_nowhere(bench: Bench, store: SQLiteStore) -> None:
    id = bench.add()
    by_delete(bench, id)

    assert store.page(JobFilter(), limit=10) == ([], None)
    assert store.select(JobFilter(), limit=10) == ([], None)
    assert store.get([b"", id]) == [None, None]
    assert set(store.counts().values()) == {0}
    assert store.depth() == 0
    assert store.queues() == []
    assert store.waiting() == []
    assert store.purge(bench.now + HOUR, FINAL) == 0
    assert bench.claim() == []


def test_one_number_at_most_is_kept(bench: Bench, path: Path) -> None:
    for _ in range(3):
        by_delete(bench, bench.add())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM millrace_jobs").fetchall() == [(1,)]


def test_an_outcome_of_a_job_that_is_gone_does_not_pass_for_the_next_ones(bench: Bench, store: Store) -> None:
    gone = bench.add(max_crashes=1)
    old = bench.take()
    bench.lose(old)
    store.delete([gone], DELETABLE)
    next_one = bench.add()
    new = bench.take()
    answer = bench.finish(ANN, Outcome.completed(old, None, retention=KEPT))

    assert answer.lost == {0}
    assert new == bench.job(next_one)
