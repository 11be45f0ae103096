"""Examples of `insert`: what goes in comes back, when it is due, and what is left out."""

from __future__ import annotations

from typing import Any, cast

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import HOUR, Bench
from millrace.conformance.examples import Examples
from millrace.ids import new_id
from millrace.job import JobRow
from millrace.options import JobOptions
from millrace.states import JobState
from millrace.store import Store

__all__ = ["EnqueueingExamples"]


class EnqueueingExamples(Examples):
    """How jobs come into a store."""

    def test_a_job_reads_back_as_it_was_given(self, bench: Bench) -> None:
        options = JobOptions(timeout=5.0, lease=60.0, trace={"traceparent": "00-0af7-b7ad-01"}).encode()
        row = bench.row(
            task="mail.send",
            queue="mail",
            args=b'{"to":"ann","n":[1,2.5,null]}',
            priority=-7,
            delay=HOUR,
            max_attempts=9,
            max_crashes=4,
            unique_key="ann's mail",
            tags=("zeta", "alpha"),
            options=options,
        )
        bench.store.insert([row])
        job = bench.job(row.id)
        assert job == JobRow(
            job.ref,
            row.id,
            "mail.send",
            "mail",
            b'{"to":"ann","n":[1,2.5,null]}',
            state=JobState.SCHEDULED,
            priority=-7,
            due=bench.now + HOUR,
            created=bench.now,
            max_attempts=9,
            max_crashes=4,
            unique_key="ann's mail",
            tags=("zeta", "alpha"),
            options=options,
            rev=job.rev,
        )

    def test_a_job_that_says_little_has_the_defaults(self, bench: Bench) -> None:
        job = bench.job(bench.add())
        assert job == JobRow(job.ref, job.id, "work", "default", b"{}", due=bench.now, created=bench.now, rev=job.rev)

    def test_the_answer_tells_when_the_rows_went_in(self, bench: Bench) -> None:
        bench.later(17)
        answer = bench.store.insert([bench.row(), bench.row()])
        assert answer.now == bench.now
        assert answer.existing == {}

    def test_time_may_be_told_by_the_caller(self, bench: Bench) -> None:
        at = bench.now + 5 * HOUR
        row = bench.row(delay=SECOND)
        assert bench.store.insert([row], now=at).now == at
        job = bench.job(row.id)
        assert (job.created, job.due) == (at, at + SECOND)

    @pytest.mark.parametrize(
        "due", [pytest.param({"delay": 0}, id="no delay"), pytest.param({"due": 0}, id="long ago")]
    )
    def test_a_due_job_is_pending_at_once(self, bench: Bench, due: dict[str, Any]) -> None:
        assert bench.state(bench.add(**due)) is JobState.PENDING

    def test_a_job_due_at_this_very_moment_is_pending(self, bench: Bench) -> None:
        assert bench.state(bench.add(due=bench.now)) is JobState.PENDING

    def test_a_job_due_a_microsecond_later_is_scheduled(self, bench: Bench) -> None:
        assert bench.state(bench.add(due=bench.now + 1)) is JobState.SCHEDULED

    def test_a_due_time_given_wins_over_a_delay(self, bench: Bench) -> None:
        assert bench.job(bench.add(due=bench.now + SECOND, delay=HOUR)).due == bench.now + SECOND

    def test_a_due_time_in_the_past_is_kept_for_the_order(self, bench: Bench) -> None:
        assert bench.job(bench.add(due=12_345)).due == 12_345

    def test_nothing_to_insert_is_no_error(self, store: Store) -> None:
        assert store.insert([]).existing == {}

    def test_the_same_id_twice_is_one_job(self, bench: Bench) -> None:
        row = bench.row(args=b'{"n":1}')
        bench.store.insert([row])
        other = bench.row(args=b'{"n":3}')
        answer = bench.store.insert([bench.row(id=row.id, args=b'{"n":2}'), other])
        assert {index: (there.row.id, there.by_key) for index, there in answer.existing.items()} == {0: (row.id, False)}
        assert (bench.job(row.id).args, bench.job(other.id).args) == (b'{"n":1}', b'{"n":3}')
        assert sum(bench.store.counts().values()) == 2

    def test_the_same_id_twice_in_one_call_is_one_job(self, bench: Bench) -> None:
        id = new_id()
        answer = bench.store.insert([bench.row(id=id, args=b'{"n":1}'), bench.row(id=id, args=b'{"n":2}')])
        assert list(answer.existing) == [1]
        assert answer.existing[1].row.args == b'{"n":1}'
        assert sum(bench.store.counts().values()) == 1

    def test_an_insert_sent_twice_finds_its_job_whatever_has_become_of_it(self, bench: Bench) -> None:
        row = bench.row()
        bench.store.insert([row])
        bench.end("completed", bench.take())
        answer = bench.store.insert([row])
        assert answer.existing[0].row.state is JobState.COMPLETED
        assert bench.claim() == []

    def test_an_error_leaves_none_of_the_rows_in(self, bench: Bench) -> None:
        broken = bench.row(id=cast("bytes", None))
        with pytest.raises(Exception):  # noqa: B017, PT011 - which error it is tells of the store's inside
            bench.store.insert([bench.row(), bench.row(unique_key="k"), broken, bench.row()])
        assert sum(bench.store.counts().values()) == 0
        bench.add(unique_key="k")

    def test_after_an_error_the_store_goes_on(self, bench: Bench) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011
            bench.store.insert([bench.row(id=cast("bytes", None))])
        assert bench.state(bench.add()) is JobState.PENDING

    def test_a_thousand_rows_go_in_at_once(self, bench: Bench) -> None:
        rows = [
            bench.row(queue=f"q{n % 3}", task=f"t{n % 7}", args=b'{"n":%d}' % n, tags=("odd",) if n % 2 else ())
            for n in range(1000)
        ]
        assert bench.store.insert(rows).existing == {}
        jobs = bench.store.get([row.id for row in rows])
        given = [(row.id, row.queue, row.task, row.args, row.tags) for row in rows]
        assert given == [(job.id, job.queue, job.task, job.args, job.tags) for job in jobs if job is not None]
        assert bench.store.depth() == 1000

    def test_a_thousand_rows_of_which_some_are_there_already(self, bench: Bench) -> None:
        rows = [bench.row(unique_key=f"k{n}" if n % 10 == 0 else None) for n in range(1000)]
        bench.store.insert(rows[::7])
        answer = bench.store.insert(rows)
        assert sorted(answer.existing) == list(range(0, 1000, 7))
        assert all(there.row.id == rows[index].id and not there.by_key for index, there in answer.existing.items())
        assert bench.store.depth() == 1000

    def test_the_smallest_and_the_greatest_numbers_are_kept(self, bench: Bench) -> None:
        most = 2**31 - 1
        low = bench.job(bench.add(priority=-32768, max_attempts=1, max_crashes=1))
        high = bench.job(bench.add(priority=32767, max_attempts=most, max_crashes=most))
        assert (low.priority, low.max_attempts, low.max_crashes) == (-32768, 1, 1)
        assert (high.priority, high.max_attempts, high.max_crashes) == (32767, most, most)

    def test_jobs_of_any_task_name_are_taken(self, bench: Bench) -> None:
        assert bench.state(bench.add(task="nobody.knows.this")) is JobState.PENDING
