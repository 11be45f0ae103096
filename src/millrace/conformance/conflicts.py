"""Examples of what becomes of a job whose key is held: its holder is changed, or the whole call is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.conformance.health import Ear
from millrace.job import JobRow
from millrace.messages import Existing, JobFilter, NewRow
from millrace.states import ACTIVE, CANCELLABLE, RESCHEDULABLE, JobState
from millrace.store import Store

__all__ = ["ConflictExamples"]

THREADS = 40
STARTED = b'{"until":"started"}'
AN_HOUR = b'{"until":3600.0}'
LONG = b'{"text":"%s"}' % (b"x" * 5000)
CHANGING = ("replace", "debounce")


class ConflictExamples(Examples):
    """What `on_conflict` asks for, in one call and in many threads."""

    # -- changing the holder

    @pytest.mark.parametrize("policy", CHANGING)
    @pytest.mark.parametrize("state", sorted(RESCHEDULABLE))
    def test_a_holder_that_waits_gets_the_new_arguments(self, bench: Bench, state: JobState, policy: str) -> None:
        id = bench.bring(state, queue="default", unique_key="k", args=b'{"n":1}', tags=("a",))
        before = bench.job(id)
        holder = ask(bench, args=b'{"n":2}', on_conflict=policy, delay=HOUR, tags=("b",), priority=5)
        now = bench.job(id)
        assert holder == now
        assert (now.args, now.rev, now.tags, now.priority) == (b'{"n":2}', before.rev + 1, ("a",), 0)
        if policy == "replace":
            assert (now.state, now.due) == (before.state, before.due)
        else:
            assert (now.state, now.due) == (JobState.SCHEDULED, bench.now + HOUR)
        assert sum(bench.store.counts().values()) == 1

    @pytest.mark.parametrize("policy", CHANGING)
    @pytest.mark.parametrize("state", sorted(ACTIVE))
    def test_a_holder_that_runs_is_told_unchanged(self, bench: Bench, state: JobState, policy: str) -> None:
        id = bench.bring(state, queue="default", unique_key="k")
        before = bench.job(id)
        assert ask(bench, args=b"[2]", on_conflict=policy, delay=HOUR) == before == bench.job(id)

    @pytest.mark.parametrize("policy", CHANGING)
    def test_a_job_that_is_there_by_its_id_is_not_changed(self, bench: Bench, policy: str) -> None:
        row = bench.row(unique_key="k", on_conflict=policy, args=b"[1]")
        bench.store.insert([row])
        answer = bench.store.insert([bench.row(id=row.id, unique_key="k", on_conflict=policy, args=b"[2]")])
        assert not answer.existing[0].by_key
        assert bench.job(row.id).args == b"[1]"

    @pytest.mark.parametrize("state", sorted(RESCHEDULABLE))
    def test_a_debounced_holder_may_be_due_at_once_or_at_a_time(self, bench: Bench, state: JobState) -> None:
        id = bench.bring(state, queue="default", unique_key="k")
        ask(bench, on_conflict="debounce")
        assert (bench.state(id), bench.job(id).due, bench.store.depth()) == (JobState.PENDING, bench.now, 1)
        ask(bench, on_conflict="debounce", due=bench.now + HOUR)
        assert (bench.state(id), bench.job(id).due, bench.store.depth()) == (JobState.SCHEDULED, bench.now + HOUR, 0)
        assert bench.store.next_due() == bench.now + HOUR
        assert bench.claim() == []
        bench.later(HOUR / SECOND)
        assert [row.id for row in bench.claim()] == [id]

    def test_a_debounced_holder_stands_where_its_new_due_time_puts_it(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", due=bench.now - HOUR)
        others = [bench.add(due=bench.now - 2), bench.add(due=bench.now)]
        ask(bench, on_conflict="debounce", due=bench.now - 1)
        assert [row.id for row in bench.claim()] == [others[0], id, others[1]]

    def test_the_last_of_a_line_may_be_debounced_away(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", queue="alone", task="only")
        ask(bench, on_conflict="debounce", delay=HOUR, queue="alone")
        assert bench.claim() == []
        assert bench.store.waiting() == []
        bench.later(HOUR / SECOND)
        assert bench.take().id == id

    @pytest.mark.parametrize("policy", CHANGING)
    def test_arguments_may_grow_and_shrink(self, bench: Bench, policy: str) -> None:
        id = bench.add(unique_key="k", args=b"[1]", tags=("a",), options=STARTED)
        for args in (LONG, LONG + b" ", b"[2]", b"[3]"):
            holder = ask(bench, args=args, on_conflict=policy)
            assert holder.args == args == bench.job(id).args
        row = bench.take()
        assert (row.args, row.tags, row.options) == (b"[3]", ("a",), STARTED)

    def test_in_one_call_each_does_what_it_says_in_order(self, bench: Bench) -> None:
        there = bench.add(unique_key="there", args=b"[0]")
        first = bench.row(unique_key="k", args=b"[1]", tags=("a",))
        rows = [
            first,
            bench.row(unique_key="there", args=b"[5]", on_conflict="debounce", delay=HOUR),
            bench.row(unique_key="k", args=b"[2]", on_conflict="debounce", delay=2 * HOUR),
            bench.row(unique_key="there", args=b"[6]", on_conflict="replace"),
            bench.row(unique_key="k", args=b"[3]", on_conflict="replace"),
            bench.row(unique_key="k", args=b"[4]"),
            bench.row(args=b"[9]"),
        ]
        answer = bench.store.insert(rows)
        told = {n: (each.row.id, each.by_key) for n, each in answer.existing.items()}
        assert told == {
            1: (there, True),
            2: (first.id, True),
            3: (there, True),
            4: (first.id, True),
            5: (first.id, True),
        }
        job, other = bench.job(first.id), bench.job(there)
        assert (job.args, job.due, job.state, job.tags) == (b"[3]", bench.now + 2 * HOUR, JobState.SCHEDULED, ("a",))
        assert (other.args, other.due, other.state) == (b"[6]", bench.now + HOUR, JobState.SCHEDULED)
        assert (answer.existing[5].row, answer.existing[1].row) == (job, other)
        assert bench.store.counts()[JobState.SCHEDULED] == 2
        assert bench.store.depth() == 1

    def test_many_holders_are_changed_in_one_call(self, bench: Bench) -> None:
        ids = [bench.add(unique_key=f"k{n}", args=b"[0]") for n in range(150)]
        rows = [
            bench.row(unique_key=f"k{n}", args=b"[%d]" % n, on_conflict=CHANGING[n % 2], delay=HOUR) for n in range(150)
        ]
        assert len(bench.store.insert(rows).existing) == 150
        assert [bench.job(id).args for id in ids] == [b"[%d]" % n for n in range(150)]
        assert bench.store.depth() == bench.store.counts()[JobState.SCHEDULED] == 75

    def test_who_watches_hears_of_a_holder_that_is_due_now(self, bench: Bench) -> None:
        bench.add(unique_key="k", delay=HOUR)
        ear = Ear()
        subscription = bench.store.watch(ear)
        try:
            ask(bench, on_conflict="debounce")
            assert ear.hears()
        finally:
            subscription.close()

    # -- refusing all

    def test_one_that_rejects_a_held_key_stops_its_whole_call(self, bench: Bench) -> None:
        id = bench.add(unique_key="k", tags=("a",))
        other = bench.add(unique_key="l", args=b"[0]")
        before = bench.job(other)
        rows = [
            bench.row(tags=("b",)),
            bench.row(unique_key="l", args=b"[1]", on_conflict="replace"),
            bench.row(unique_key="k", on_conflict="reject"),
            bench.row(unique_key="m"),
        ]
        answer = bench.store.insert(rows)
        assert answer.refused == 2
        assert answer.existing[2] == Existing(bench.job(id), by_key=True)
        assert bench.job(other) == before
        assert bench.store.get([row.id for row in rows]) == [None] * 4
        assert sum(bench.store.counts().values()) == 2
        assert bench.store.page(JobFilter(tag="b"), limit=10) == ([], None)
        bench.store.cancel([id], CANCELLABLE, retention=KEPT)
        answer = bench.store.insert(rows)
        assert (answer.refused, list(answer.existing)) == (None, [1])
        assert bench.job(other).args == b"[1]"

    def test_one_that_rejects_goes_in_where_a_holder_was_started_or_its_id_is_there(self, bench: Bench) -> None:
        bench.bring(JobState.RUNNING, queue="default", unique_key="k", options=STARTED)
        row = bench.row(unique_key="k", on_conflict="reject")
        assert bench.store.insert([row, bench.row()]).refused is None
        answer = bench.store.insert([row, bench.row()])
        assert (answer.refused, answer.existing[0].by_key) == (None, False)

    # -- threads

    def test_of_forty_threads_that_reject_one_writes_all_of_its_call(self, bench: Bench, store: Store) -> None:
        calls = [[bench.row(), bench.row(unique_key="k", on_conflict="reject"), bench.row()] for _ in range(THREADS)]
        start = Barrier(THREADS)

        def race(rows: list[NewRow]) -> bool:
            start.wait(30)
            return store.insert(rows).refused is None

        with ThreadPoolExecutor(THREADS) as pool:
            assert sum(pool.map(race, calls)) == 1
        assert store.depth() == 3

    @pytest.mark.parametrize("policy", ["return", *CHANGING])
    @pytest.mark.parametrize("options", [None, STARTED, AN_HOUR])
    def test_of_forty_threads_one_has_the_key(
        self, bench: Bench, store: Store, policy: str, options: bytes | None
    ) -> None:
        stale = bench.add(unique_key="k", options=b'{"until":5.0}')
        bench.take()
        bench.later(6)
        rows = [
            bench.row(unique_key="k", options=options, args=b"[%d]" % n, on_conflict=policy) for n in range(THREADS)
        ]
        start = Barrier(THREADS)

        def race(row: NewRow) -> JobRow | None:
            start.wait(30)
            there = store.insert([row]).existing.get(0)
            return None if there is None else there.row

        with ThreadPoolExecutor(THREADS) as pool:
            told = list(pool.map(race, rows))
        (winner,) = [row for row, holder in zip(rows, told, strict=True) if holder is None]
        assert {holder.id for holder in told if holder is not None} == {winner.id} != {stale}
        assert store.depth() == 1
        job = bench.job(winner.id)
        assert job.rev == (0 if policy == "return" else THREADS - 1)
        assert job.args in {row.args for row in rows}


def ask(bench: Bench, **fields: Any) -> JobRow:
    """Insert a job of the key `k`, which must be held; return the holder."""
    there = bench.store.insert([bench.row(unique_key="k", **fields)]).existing[0]
    assert there.by_key
    return there.row
