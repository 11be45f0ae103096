"""Examples of moving whole jobs between stores, for stores with the capability `Transfer`.

The store under test gives its jobs to a memory store and takes them from one, so no store is measured by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, BEN, ERROR, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.conformance.health import Ear
from millrace.conformance.texts import NAMES, SIZES, TEXTS, json_of
from millrace.errors import ConfigurationError
from millrace.groups import Group, encode_group
from millrace.job import JobRow, Progress
from millrace.messages import Beat, JobFilter
from millrace.outcome import ErrorRecord, Outcome
from millrace.records import AttemptRow, LogRow
from millrace.states import ACTIVE, DELETABLE, FINAL, RETRYABLE, JobState, OutcomeKind, Reason
from millrace.store import MAX_ATTEMPT_ROWS, MAX_LOG_ROWS
from millrace.stores.memory import MemoryStore
from millrace.testing.clock import ManualClock
from millrace.transfer import Restored, Transfer, WholeJob

__all__ = ["TransferExamples"]

Told = tuple[JobRow, list[AttemptRow], list[LogRow]]


class TransferExamples(Examples):
    """Giving and taking jobs whole. Subclass it beside `StoreConformance`, with the same `make_store`."""

    @pytest.fixture
    def other(self, clock: ManualClock) -> Iterator[Bench]:
        """Give a memory store on the same clock."""
        store = MemoryStore(clock=clock)
        try:
            yield Bench(store, clock)
        finally:
            store.close()

    # -- giving

    def test_a_store_that_holds_a_job_exists(self, bench: Bench) -> None:
        bench.add()
        assert taker(bench).exists()

    def test_a_job_is_given_with_all_that_belongs_to_it(self, bench: Bench) -> None:
        id = eventful(bench)
        (job,) = everything(bench)
        assert job.row == bench.job(id)
        assert job.error_type == ERROR.type
        assert list(job.attempts) == bench.store.attempts(id)
        assert list(job.logs) == bench.store.logs(id)

    def test_the_success_that_the_row_tells_is_not_given_as_an_attempt(self, bench: Bench) -> None:
        id = bench.bring(JobState.COMPLETED)
        (job,) = everything(bench)
        assert job.attempts == ()
        assert bench.history(id) == [OutcomeKind.COMPLETED]

    def test_a_job_keeps_the_limits_that_it_falls_under(self, bench: Bench, other: Bench) -> None:
        group = encode_group(Group(limit=2, limit_key="acme", fair="a"))
        ids = bench.add_some(3, group=group)
        bench.add()
        assert [job.row.group for job in everything(bench)] == [group, group, group, None]
        taker(other).restore(everything(bench))
        assert [row.id for row in other.claim(tasks=None) if row.group] == ids[:2]

    def test_a_running_job_that_is_taken_counts_against_its_limit(self, bench: Bench, other: Bench) -> None:
        group = encode_group(Group(limit=2, limit_key="acme"))
        other.add_some(3, group=group)
        other.take()
        taker(bench).restore(everything(other))
        assert len(bench.claim()) == 1
        assert bench.claim() == []

    def test_pages_hold_every_job_once_in_the_order_of_their_inserts(self, bench: Bench) -> None:
        ids = [bench.add(priority=number % 3, queue=f"q{number % 2}") for number in range(7)]
        pages = list(walk(bench, 3))
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [job.row.id for page in pages for job in page] == ids

    def test_the_last_page_has_no_cursor_even_where_it_is_full(self, bench: Bench) -> None:
        bench.add_some(4)
        assert [len(page) for page in walk(bench, 2)] == [2, 2]
        assert len(giver(bench).export(limit=4)[0]) == 4
        assert giver(bench).export(limit=4)[1] is None

    def test_an_empty_store_gives_an_empty_page(self, bench: Bench) -> None:
        assert giver(bench).export(limit=10) == ([], None)

    def test_jobs_that_come_and_go_on_the_way_move_no_page(self, bench: Bench) -> None:
        ids = bench.add_some(6)
        first, cursor = giver(bench).export(limit=2)
        bench.store.delete([ids[1], ids[3]], DELETABLE)
        late = bench.add()
        second, following = giver(bench).export(limit=100, cursor=cursor)
        assert [job.row.id for job in first] == ids[:2]
        assert [job.row.id for job in second] == [ids[2], ids[4], ids[5], late]
        assert following is None

    def test_a_page_is_at_most_500_jobs(self, bench: Bench) -> None:
        bench.add_some(501)
        assert [len(page) for page in walk(bench, 10_000)] == [500, 1]

    @pytest.mark.parametrize("cursor", ["", "x", "sqlite-1", "0", "🚚"])
    def test_a_cursor_of_another_store_is_refused(self, bench: Bench, cursor: str) -> None:
        with pytest.raises(ConfigurationError, match="cursor"):
            giver(bench).export(limit=1, cursor=cursor)

    # -- taking

    @pytest.mark.parametrize("state", JobState)
    def test_a_job_in_any_state_is_taken_as_it_is(self, bench: Bench, other: Bench, state: JobState) -> None:
        id = other.bring(state, priority=7, tags=("a", "b"), unique_key="key", options=b'{"lease":5.0}')
        assert take_all(bench, other) == Restored()
        assert told(bench, id) == told(other, id)
        assert bench.store.counts() == other.store.counts()
        assert [(each.name, each.counts) for each in bench.store.queues()] == [
            (each.name, each.counts) for each in other.store.queues()
        ]

    def test_a_job_is_taken_with_all_that_belongs_to_it(self, bench: Bench, other: Bench) -> None:
        id = eventful(other)
        take_all(bench, other)
        assert told(bench, id) == told(other, id)

    def test_what_is_given_and_taken_back_is_the_same(self, bench: Bench, other: Bench) -> None:
        ids = [bench.bring(state) for state in JobState] + [eventful(bench)]
        before = [told(bench, id) for id in ids]
        taker(other).restore(everything(bench))
        assert [told(other, id) for id in ids] == before

    def test_a_full_history_and_a_full_log_are_taken_whole(self, bench: Bench, other: Bench) -> None:
        id = other.add()
        attempts = tuple(AttemptRow(1, claim, ANN, other.now, other.now, OutcomeKind.SNOOZED) for claim in range(1, 51))
        logs = tuple(LogRow(0, id, 1, line, 20, f"line {line}", b'{"n":1}', 1) for line in range(MAX_LOG_ROWS))
        row = msgspec.structs.replace(other.job(id), claim=90)
        taker(bench).restore([WholeJob(row, None, attempts, logs)])
        assert len(attempts) == MAX_ATTEMPT_ROWS
        assert bench.store.attempts(id) == list(attempts)
        assert [(line.at, line.message, line.data) for line in bench.store.logs(id)] == [
            (line.at, line.message, line.data) for line in logs
        ]

    @pytest.mark.parametrize("size", SIZES)
    def test_arguments_and_results_of_any_size_are_taken(self, bench: Bench, other: Bench, size: int) -> None:
        id = other.add(args=json_of(size))
        other.finish(ANN, Outcome.completed(other.take(), json_of(size), retention=KEPT))
        take_all(bench, other)
        assert (bench.job(id).args, bench.job(id).result) == (json_of(size), json_of(size))
        assert [job.row.args for job in everything(bench)] == [json_of(size)]

    def test_any_text_is_taken(self, bench: Bench, other: Bench) -> None:
        ids = [other.add(queue=name, task=name, unique_key=name, tags=(name,)) for name in NAMES.values()]
        ids += other.add_some(len(TEXTS), queue="texts")
        for row, text in zip(other.claim(queues=("texts",)), TEXTS.values(), strict=True):
            other.store.log(ANN, [LogRow(row.ref, row.id, row.claim, other.now, 20, text, msgspec.json.encode(text))])
            other.store.extend(ANN, [Beat(row.ref, row.id, row.claim, None, Progress(0.5, text))])
            error = ErrorRecord("Broken", text, text)
            other.finish(ANN, Outcome.failed(row, error, delay=HOUR, retention=KEPT))
        take_all(bench, other)
        assert [told(bench, id) for id in ids] == [told(other, id) for id in ids]
        assert sorted(job.row.id for job in everything(bench)) == sorted(ids)
        assert {job.row.id: told_of(job) for job in everything(bench)} == {
            job.row.id: told_of(job) for job in everything(other)
        }

    def test_pages_list_taken_jobs_as_the_store_that_gave_them(self, bench: Bench, other: Bench) -> None:
        for number in range(9):
            other.add(due=other.now + number % 3, priority=number % 2)
        for page in walk(other, 4):
            taker(bench).restore(page)
        newest, _ = bench.store.select(JobFilter(), limit=100)
        assert newest == other.store.select(JobFilter(), limit=100)[0]

    def test_filters_find_taken_jobs(self, bench: Bench, other: Bench) -> None:
        id = other.bring(JobState.DEAD, queue="mail", task="send", tags=("red",), unique_key="once")
        other.add()
        take_all(bench, other)
        for where in (
            JobFilter(states=frozenset({JobState.DEAD})),
            JobFilter(queue="mail"),
            JobFilter(task="send"),
            JobFilter(tag="red"),
            JobFilter(unique_key="once"),
            JobFilter(error=ERROR.type),
        ):
            assert bench.store.select(where, limit=10) == ([id], None)

    def test_taking_nothing_is_no_error(self, bench: Bench) -> None:
        assert taker(bench).restore([]) == Restored()

    # -- what is left out

    def test_a_job_that_is_there_is_left_as_it_is(self, bench: Bench, other: Bench) -> None:
        here, elsewhere = other.add_some(2)
        page = everything(other)
        taker(bench).restore(page[:1])
        row = bench.take()
        assert taker(bench).restore(page) == Restored(there=frozenset({0}))
        assert (bench.job(here).state, bench.job(here).claim) == (JobState.RUNNING, row.claim)
        assert bench.state(elsewhere) is JobState.PENDING

    def test_a_job_given_twice_in_a_call_is_taken_once(self, bench: Bench, other: Bench) -> None:
        other.add(unique_key="once")
        (job,) = everything(other)
        assert taker(bench).restore([job, job]) == Restored(there=frozenset({1}))
        assert len(everything(bench)) == 1

    def test_a_live_job_whose_key_another_holds_is_left_out(self, bench: Bench, other: Bench) -> None:
        bench.add(unique_key="once")
        held = other.add(unique_key="once")
        free = other.add()
        assert taker(bench).restore(everything(other)) == Restored(held=frozenset({0}))
        assert bench.is_gone(held)
        assert bench.state(free) is JobState.PENDING

    def test_an_ended_job_holds_no_key_and_is_kept_from_nothing(self, bench: Bench, other: Bench) -> None:
        bench.add(unique_key="once")
        ended = other.bring(JobState.COMPLETED, unique_key="once")
        assert take_all(bench, other) == Restored()
        assert bench.state(ended) is JobState.COMPLETED

    def test_of_two_live_jobs_of_one_key_in_a_call_the_first_is_taken(self, bench: Bench, other: Bench) -> None:
        other.add(unique_key="once")
        (job,) = everything(other)
        twin = WholeJob(msgspec.structs.replace(job.row, id=bytes(16)))
        assert taker(bench).restore([job, twin]) == Restored(held=frozenset({1}))

    # -- what becomes of taken jobs

    def test_taken_jobs_are_claimed_in_their_order_when_due(self, bench: Bench, other: Bench) -> None:
        low, high = other.add(), other.add(priority=5)
        later, failed = other.bring(JobState.SCHEDULED), other.bring(JobState.FAILED)
        take_all(bench, other)
        assert bench.store.depth() == 2
        assert [row.id for row in bench.claim()] == [high, low]
        bench.later(3601)
        assert sorted(row.id for row in bench.claim()) == sorted([later, failed])

    def test_a_taken_lease_holds_for_its_holder_and_passes_for_others(self, bench: Bench, other: Bench) -> None:
        other.add_some(2)
        first, second = other.claim(ANN)
        take_all(bench, other)
        assert bench.end("completed", bench.job(first.id), worker=BEN).lost == frozenset({0})
        assert bench.end("completed", bench.job(first.id), worker=ANN).lost == frozenset()
        assert [rescued.id for rescued in bench.lose(second)] == [second.id]
        assert bench.state(second.id) is JobState.PENDING

    def test_watchers_hear_of_taken_jobs(self, bench: Bench, other: Bench) -> None:
        other.add()
        ear = Ear()
        watch = bench.store.watch(ear)
        take_all(bench, other)
        assert ear.hears()
        watch.close()

    def test_a_taken_key_is_held_until_its_job_has_ended(self, bench: Bench, other: Bench) -> None:
        id = other.add(unique_key="once")
        take_all(bench, other)
        assert bench.store.insert([bench.row(unique_key="once")]).existing[0].row.id == id
        bench.end("completed", bench.take())
        bench.add(unique_key="once")

    def test_keys_are_held_on_for_as_long_as_their_rules_say(self, bench: Bench, other: Bench) -> None:
        until_started, an_hour = b'{"until":"started"}', b'{"until":3600.0}'
        for key, options in (("started", until_started), ("hour", an_hour)):
            other.add(unique_key=key, options=options)
            row = other.take()
            if key == "hour":
                other.finish(ANN, Outcome.completed(row, None, retention=None))
        running = other.add(unique_key="next", options=until_started)
        other.take()
        heir = other.add(unique_key="next", options=until_started, delay=HOUR)
        bench.add(unique_key="over", options=b'{"until":1.0}')
        bench.later(2)
        over = other.add(unique_key="over")
        other.add(unique_key="held")
        there = bench.add(unique_key="held", options=an_hour)

        assert take_all(bench, other) == Restored(held=frozenset({5}))

        assert bench.state(running) is JobState.RUNNING
        keys = ("started", "hour", "next", "over", "held")
        holders = bench.store.insert([bench.row(unique_key=key) for key in keys]).existing
        assert {keys[n]: each.row.id for n, each in holders.items()} == {
            "hour": everything(other)[1].row.id, "next": heir, "over": over, "held": there
        }  # fmt: skip

    def test_taken_jobs_end_with_their_retention(self, bench: Bench, other: Bench) -> None:
        ids = [other.bring(state) for state in sorted(FINAL)]
        take_all(bench, other)
        bench.clock.advance((KEPT + SECOND) / SECOND)
        assert bench.store.expire() == 3
        assert all(bench.is_gone(id) for id in ids)
        assert sum(bench.store.counts().values()) == 0

    def test_a_taken_job_is_retried_with_its_history(self, bench: Bench, other: Bench) -> None:
        id = other.bring(JobState.COMPLETED, queue="default")
        take_all(bench, other)
        (changed,) = bench.store.retry([id], RETRYABLE)
        assert changed.changed
        assert bench.take().claim == other.job(id).claim + 1
        assert bench.history(id) == [OutcomeKind.COMPLETED]

    def test_a_taken_job_is_deleted_with_all_that_belongs_to_it(self, bench: Bench, other: Bench) -> None:
        id = eventful(other)
        take_all(bench, other)
        assert bench.store.delete([id], DELETABLE)[0].changed
        assert (bench.store.attempts(id), bench.store.logs(id)) == ([], [])
        assert bench.store.select(JobFilter(tag="red"), limit=1) == ([], None)


def eventful(bench: Bench) -> bytes:
    """Make a job that has failed twice, logged, told its progress and a partial result."""
    id = bench.add(tags=("red", "blue"), unique_key="eventful", args=b'{"a":1}')
    for turn in range(2):
        row = bench.take()
        bench.store.log(ANN, [LogRow(row.ref, id, row.claim, bench.now, 20, f"turn {turn}", b'{"n":1}')])
        bench.store.extend(ANN, [Beat(row.ref, id, row.claim, None, Progress(0.25, "begun"), b'"partial"')])
        bench.finish(ANN, Outcome.failed(row, ERROR, delay=0, reason=Reason.TIMEOUT, retention=KEPT))
        bench.later(1)
    return id


def giver(bench: Bench) -> Transfer:
    """Return the store as one that gives jobs."""
    assert isinstance(bench.store, Transfer)
    return bench.store


taker = giver


def walk(bench: Bench, limit: int) -> Iterator[list[WholeJob]]:
    """Yield all pages of a store."""
    cursor: str | None = None
    while True:
        page, cursor = giver(bench).export(limit=limit, cursor=cursor)
        yield page
        if cursor is None:
            return


def everything(bench: Bench) -> list[WholeJob]:
    """Return all jobs of a store."""
    return [job for page in walk(bench, 500) for job in page]


def take_all(bench: Bench, other: Bench) -> Restored:
    """Put all jobs of another store into a store."""
    return taker(bench).restore(everything(other))


def told(bench: Bench, id: bytes) -> Told:
    """Read all that a store tells of a job, its own handles left out."""
    row = bench.job(id)
    assert (row.lease is not None) is (row.state in ACTIVE)
    logs = [msgspec.structs.replace(line, ref=0) for line in bench.store.logs(id)]
    return msgspec.structs.replace(row, ref=0), bench.store.attempts(id), logs


def told_of(job: WholeJob) -> WholeJob:
    """Return a whole job without its store's handles."""
    logs = tuple(msgspec.structs.replace(line, ref=0) for line in job.logs)
    return WholeJob(msgspec.structs.replace(job.row, ref=0), job.error_type, job.attempts, logs)
