"""Which rows of a call went in, told from their count alone: the cases in which ids and keys are mixed up."""

from __future__ import annotations

import pytest

from millrace.conformance.bench import ANN, Bench
from millrace.ids import new_id
from millrace.store import Store

A, B = new_id(), new_id()

#: Rows of one call as (id, key), with A holding the key "held" beforehand, and who stands in each one's way.
CASES: dict[str, tuple[list[tuple[bytes, str | None]], dict[int, tuple[bytes, bool]]]] = {
    "the same id again": ([(A, None)], {0: (A, False)}),
    "the same id and its own key": ([(A, "held")], {0: (A, False)}),
    "the same id and another key": ([(A, "free")], {0: (A, False)}),
    "one id twice": ([(B, None), (B, None)], {1: (B, False)}),
    "one id twice, first with a held key": ([(B, "held"), (B, None)], {0: (A, True)}),
    "one id twice, first with a held key, then a free one": ([(B, "held"), (B, "free")], {0: (A, True)}),
    "one id three times": ([(B, "held"), (B, "free"), (B, "other")], {0: (A, True), 2: (B, False)}),
    "one id twice, both with a held key": ([(B, "held"), (B, "held")], {0: (A, True), 1: (A, True)}),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_each_row_is_told_what_stood_in_its_way(bench: Bench, store: Store, case: str) -> None:
    rows, expected = CASES[case]
    bench.add(id=A, unique_key="held")
    answer = store.insert([bench.row(id=id, unique_key=key) for id, key in rows])

    assert expected == {index: (there.row.id, there.by_key) for index, there in answer.existing.items()}


@pytest.mark.parametrize("number", [1, 3, 4, 5, 255, 256, 257, 700])
def test_any_number_of_rows_goes_in_in_order(bench: Bench, store: Store, number: int) -> None:
    texts = [b"x" * (place % 3 * 1000) for place in range(number)]
    rows = [bench.row(args=b'"' + text + b'"', tags=("t",) if text else ()) for text in texts]
    again = rows[number // 2]
    assert store.insert([*rows, again]).existing.keys() == {number}

    found = store.get([row.id for row in rows])
    refs = [row.ref for row in found if row is not None]
    assert [(row.args, row.tags) for row in rows] == [(row.args, row.tags) for row in found if row is not None]
    assert sorted(refs) == refs
    assert [row.id for row in rows] == [row.id for row in bench.claim(ANN)]
