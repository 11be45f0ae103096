"""The counters of final states, which verbs keep by hand, against a recount of the jobs."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from millrace.conformance.bench import ANN, ENDINGS, HOUR, KEPT, Bench
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.outcome import Outcome
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RETRYABLE, JobState

COUNTED = "SELECT id, completed, dead, cancelled FROM millrace_lanes ORDER BY id"
RECOUNTED = """SELECT lanes.id, total(state=5), total(state=6), total(state=7)
 FROM millrace_lanes AS lanes LEFT JOIN millrace_jobs ON lane=lanes.id GROUP BY lanes.id ORDER BY lanes.id"""
FILTERS = [JobFilter(), JobFilter(states=FINAL), JobFilter(states=frozenset({JobState.FAILED})), JobFilter(tag="t")]
ORPHANS = "SELECT count(*) FROM millrace_{table} WHERE job NOT IN (SELECT id FROM millrace_jobs WHERE state<8)"


def check(path: Path) -> None:
    """Compare counters with a recount, and find nothing that belongs to no job."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(RECOUNTED).fetchall() == connection.execute(COUNTED).fetchall()
        for table in ("bodies", "results", "errors", "progress", "attempts", "logs", "tags"):
            assert connection.execute(ORPHANS.format(table=table)).fetchall() == [(0,)], table


def not_kept(row: JobRow) -> Outcome:
    return Outcome.completed(row, b"1", retention=0)


def live(bench: Bench, chance: random.Random) -> None:
    """Let jobs of several lanes come to all ends, and let some come back or go."""
    store = bench.store
    for _ in range(chance.randrange(1, 30)):
        bench.add(
            queue=chance.choice(["a", "b"]),
            task=chance.choice(["x", "y"]),
            tags=("t", "u")[: chance.randrange(3)],
            args=b'"' + b"x" * chance.choice([10, 2000]) + b'"',
            max_crashes=chance.randrange(1, 3),
        )
    rows = bench.claim(limit=chance.randrange(1, 40))
    ids = [row.id for row in rows]
    store.cancel(chance.sample(ids, len(ids) // 4), CANCELLABLE, retention=KEPT)
    ways = [*ENDINGS.values(), not_kept]
    bench.finish(ANN, *(chance.choice(ways)(row) for row in rows if chance.random() < 0.8))
    bench.later(chance.choice([1, 40, 700]))
    store.rescue(retention=KEPT, dead_retention=chance.choice([0, KEPT]))
    some, _ = store.select(chance.choice(FILTERS), limit=chance.randrange(1, 10))
    match chance.randrange(5):
        case 0:
            store.retry(some, RETRYABLE)
        case 1:
            store.delete(some, DELETABLE)
        case 2:
            store.cancel(some, CANCELLABLE, retention=chance.choice([None, 0, KEPT]))
        case 3:
            store.expire()
        case _:
            store.purge(bench.now - HOUR // 10, FINAL)


@pytest.mark.parametrize("seed", range(4))
def test_counters_equal_a_recount_and_nothing_is_left_behind(bench: Bench, path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        live(bench, chance)
        check(path)
