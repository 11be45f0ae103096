"""Jobs come in the order of priority, due time and id, to the microsecond, over all tasks of a queue."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from millrace.conformance.bench import Bench
from millrace.messages import NewRow

LOWEST, HIGHEST = -32768, 32767
BORDER = 65_536  # microseconds: due times in one such stretch have one score


def in_order(rows: Sequence[NewRow]) -> list[bytes]:
    return [row.id for row in sorted(rows, key=lambda row: (-row.priority, row.due, row.id))]


def claimed(bench: Bench, number: int, limit: int) -> list[bytes]:
    return [row.id for _ in range(-(-number // limit)) for row in bench.claim(limit=limit)]


def some_rows(bench: Bench, number: int, tasks: int, priorities: Sequence[int], dues: Sequence[int]) -> list[NewRow]:
    chance = random.Random(f"{tasks} {dues}")
    return [
        bench.row(
            id=chance.randbytes(16),
            task=f"task {chance.randrange(tasks)}",
            priority=chance.choice(priorities),
            due=chance.choice(dues),
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize("tasks", [1, 2, 7, 300])
@pytest.mark.parametrize("limit", [1, 10, 500])
def test_priorities_due_times_and_ids_are_kept_apart_to_the_last_bit(bench: Bench, tasks: int, limit: int) -> None:
    around = bench.now // BORDER * BORDER - BORDER
    dues = [around + step for step in (-BORDER, -2, -1, 0, 1, 2, BORDER - 1, BORDER)]
    rows = some_rows(bench, 200, tasks, [LOWEST, LOWEST + 1, -1, 0, 1, HIGHEST - 1, HIGHEST], dues)
    bench.store.insert(rows)
    assert claimed(bench, 200, limit) == in_order(rows)


def test_due_times_of_long_ago_do_not_pass_over_a_higher_priority(bench: Bench) -> None:
    rows = some_rows(bench, 200, 3, [0, 1, LOWEST, HIGHEST], [0, 1, BORDER, 12_345_678_901, bench.now - 1, bench.now])
    bench.store.insert(rows)
    assert claimed(bench, 200, 30) == in_order(rows)


def test_ids_are_compared_by_bytes_whatever_letters_they_make(bench: Bench) -> None:
    ids = [bytes([first, second]) + bytes(14) for first in b"aAzZ\0\xff\xe4" for second in b"aAbB\0\xff"]
    rows = [bench.row(id=id, task=f"t{place % 5}", due=bench.now) for place, id in enumerate(ids)]
    bench.store.insert(rows)
    assert claimed(bench, len(ids), 9) == sorted(ids)


def test_promoted_jobs_stand_among_the_others_by_their_due_time(bench: Bench) -> None:
    later = some_rows(bench, 90, 4, [0, 5], [bench.now + step for step in (1, 2, 65_535, 65_536, 65_537)])
    bench.store.insert(later)
    bench.later(1)
    due = some_rows(bench, 90, 4, [0, 5], [bench.now - step for step in (0, 1, 999_999, 934_464)])
    bench.store.insert(due)
    assert claimed(bench, 180, 50) == in_order([*later, *due])


def test_what_comes_back_stands_where_it_stood(bench: Bench) -> None:
    rows = some_rows(bench, 60, 3, [0, 1], [bench.now - step for step in range(5)])
    bench.store.insert(rows)
    first = bench.claim(limit=25)
    for row in first[::2]:
        bench.end("released", row)
    bench.lose(*first[1::2])
    assert claimed(bench, 60, 7) == in_order(rows)
