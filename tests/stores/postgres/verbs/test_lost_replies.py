"""What is written again after a lost reply is known by the job's own row: done where it shows it, lost where not."""

from __future__ import annotations

import pytest

from millrace.conformance.bench import ANN, BEN, ENDINGS, KEPT, Bench
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.postgres.finish import Ending, finish_script
from millrace.stores.postgres.script import run
from tests.stores.postgres.verbs.conftest import OpenStore


def write_again(store: OpenStore, *outcomes: Outcome, worker: int = ANN) -> Ending:
    """Write outcomes of which some may have been written before."""
    return store.run(lambda session: run(session, finish_script(worker, outcomes, again=True)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_outcome_that_was_written_is_done(bench: Bench, store: OpenStore, ending: str) -> None:
    bench.add()
    row = bench.take()
    bench.end(ending, row)
    before = bench.job(row.id), store.attempts(row.id)
    assert write_again(store, ENDINGS[ending](row)) == (frozenset(), {})
    assert (bench.job(row.id), store.attempts(row.id)) == before


@pytest.mark.parametrize("ending", ["failed", "snoozed", "released"])
def test_an_outcome_over_which_a_cancel_won_is_told_as_before(bench: Bench, store: OpenStore, ending: str) -> None:
    bench.add()
    row = bench.take()
    bench.cancel(row.id)
    assert bench.end(ending, row).resulting == {0: JobState.CANCELLED}
    assert write_again(store, ENDINGS[ending](row)) == (frozenset(), {0: JobState.CANCELLED})


def test_a_job_that_was_not_kept_is_done_where_it_is_gone(bench: Bench, store: OpenStore) -> None:
    bench.add_some(2)
    rows = bench.claim()
    outcomes = [Outcome.completed(row, None, retention=0) for row in rows]
    bench.finish(ANN, outcomes[0])
    assert write_again(store, *outcomes) == (frozenset(), {})


def test_some_of_a_batch_may_have_been_written(bench: Bench, store: OpenStore) -> None:
    bench.add_some(6)
    rows = [*bench.claim(ANN, 2), bench.take(BEN), *bench.claim(ANN)]
    outcomes = [Outcome.completed(row, b"1", retention=KEPT) for row in rows]
    bench.finish(ANN, *outcomes[3:])
    assert write_again(store, *outcomes) == (frozenset({2}), {})


@pytest.mark.parametrize("worker", [ANN, BEN])
def test_another_claim_is_not_taken_for_ones_own(bench: Bench, store: OpenStore, worker: int) -> None:
    bench.add()
    row = bench.take()
    bench.lose(row)
    bench.end("completed", bench.take(worker), worker)
    assert write_again(store, ENDINGS["completed"](row)) == (frozenset({0}), {})


def test_an_end_of_another_kind_is_not_taken_for_ones_own(bench: Bench, store: OpenStore) -> None:
    bench.add()
    row = bench.take()
    bench.end("dead", row)
    assert write_again(store, ENDINGS["completed"](row)) == (frozenset({0}), {})
