"""What is written again after a lost reply is known by the job's own record: done where it shows it, lost where not."""

from __future__ import annotations

import pytest

from millrace.conformance.bench import ANN, BEN, ENDINGS, KEPT, Bench
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.redis.insert import insert
from millrace.stores.redis.session import Session
from millrace.stores.redis.stepping import Step
from millrace.stores.redis.strays import give_back, still_held
from tests.stores.redis.verbs.conftest import OpenStore

Ending = tuple[frozenset[int], dict[int, JobState]]


def write_again(session: Session, *outcomes: Outcome, worker: int = ANN) -> Ending:
    """Write outcomes of which some may have been written before."""
    session.again = True
    answer = Step(worker, outcomes, ())(session)
    return answer.lost, dict(answer.resulting)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_outcome_that_was_written_is_done(bench: Bench, store: OpenStore, session: Session, ending: str) -> None:
    bench.add()
    row = bench.take()
    bench.end(ending, row)
    before = bench.job(row.id), store.attempts(row.id)
    assert write_again(session, ENDINGS[ending](row)) == (frozenset(), {})
    assert (bench.job(row.id), store.attempts(row.id)) == before


@pytest.mark.parametrize("ending", ["failed", "snoozed", "released"])
def test_an_outcome_over_which_a_cancel_won_is_told_as_before(bench: Bench, session: Session, ending: str) -> None:
    bench.add()
    row = bench.take()
    bench.cancel(row.id)
    assert bench.end(ending, row).resulting == {0: JobState.CANCELLED}
    assert write_again(session, ENDINGS[ending](row)) == (frozenset(), {0: JobState.CANCELLED})


def test_a_job_that_was_not_kept_is_done_where_it_is_gone(bench: Bench, session: Session) -> None:
    bench.add_some(2)
    outcomes = [Outcome.completed(row, None, retention=0) for row in bench.claim()]
    bench.finish(ANN, outcomes[0])
    assert write_again(session, *outcomes) == (frozenset(), {})


def test_some_of_a_batch_may_have_been_written(bench: Bench, session: Session) -> None:
    bench.add_some(6)
    rows = [*bench.claim(ANN, 2), bench.take(BEN), *bench.claim(ANN)]
    outcomes = [Outcome.completed(row, b"1", retention=KEPT) for row in rows]
    bench.finish(ANN, *outcomes[3:])
    assert write_again(session, *outcomes) == (frozenset({2}), {})


@pytest.mark.parametrize("worker", [ANN, BEN])
@pytest.mark.parametrize("ending", ["completed", "dead"])
def test_another_claim_is_not_taken_for_ones_own(bench: Bench, session: Session, worker: int, ending: str) -> None:
    bench.add()
    row = bench.take()
    bench.lose(row)
    bench.end(ending, bench.take(worker), worker)
    assert write_again(session, ENDINGS[ending](row)) == (frozenset({0}), {})


def test_another_ending_is_not_taken_for_the_one_sent(bench: Bench, session: Session) -> None:
    bench.add()
    row = bench.take()
    bench.end("dead", row)
    assert write_again(session, ENDINGS["completed"](row)) == (frozenset({0}), {})


def test_an_insert_sent_again_has_gone_in(bench: Bench, session: Session) -> None:
    rows = [bench.row(unique_key="k"), bench.row(), bench.row(unique_key="k")]
    first = insert(session, rows)
    session.again = True
    again = insert(session, rows)
    assert (list(first.existing), list(again.existing)) == ([2], [2])
    assert again.existing[2].row.id == rows[0].id


# -- claims that nobody heard of


def test_jobs_that_a_worker_does_not_know_go_back_and_its_own_stay(bench: Bench, session: Session) -> None:
    ids = bench.add_some(8)
    known, lost, others = bench.claim(ANN, 3), bench.claim(ANN, 3), bench.claim(BEN, 2)
    bench.cancel(lost[0].id)
    assert give_back(session, ANN, [row.id for row in known]) == 2
    assert [row.id for row in bench.claim()] == ids[4:6]
    assert [bench.job(row.id) for row in (*known, *others)] == [*known, *others]
    assert bench.state(lost[0].id) is JobState.CANCELLING


def test_a_job_given_back_is_as_if_it_had_not_been_claimed(bench: Bench, session: Session) -> None:
    id = bench.add()
    row = bench.take()
    assert give_back(session, ANN, []) == 1
    job = bench.job(id)
    assert (job.state, job.attempt, job.claim, job.rev) == (JobState.PENDING, 0, 1, row.rev + 1)
    assert (job.worker, job.lease, job.started, job.due) == (None, None, None, row.due)
    assert bench.store.attempts(id) == []


def test_all_of_very_many_go_back(bench: Bench, session: Session) -> None:
    bench.add_some(2600)
    for worker in (ANN, BEN, ANN):
        bench.claim(worker)
    assert give_back(session, ANN, []) == 1600
    assert (bench.store.depth(), give_back(session, BEN, [])) == (1600, 1000)


def test_a_worker_is_told_what_it_still_holds(bench: Bench, session: Session) -> None:
    bench.add_some(5)
    rows = [*bench.claim(ANN, 4), bench.take(BEN)]
    bench.end("completed", rows[0])
    bench.cancel(rows[1].id)
    assert still_held(session, ANN, [row.id for row in rows]) == [row.id for row in rows[1:4]]
