"""Examples of reading: by id, by page, by filter, in counts."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.clock import SECOND
from millrace.conformance.bench import ANN, ENDINGS, HOUR, KEPT, Bench
from millrace.conformance.examples import Examples
from millrace.errors import ConfigurationError
from millrace.ids import new_id
from millrace.messages import JobFilter, Waiting, empty_counts
from millrace.outcome import ErrorRecord, Outcome
from millrace.states import DELETABLE, RETRYABLE, JobState, Reason
from millrace.store import Store

__all__ = ["ReadingExamples"]

BAD_CURSORS = {
    "nonsense": "nonsense",
    "empty": "",
    "statement": "1; DROP TABLE jobs",
    "not ASCII": "\u0663\u0664",
    "long": "9" * 500,
    "NUL": "\0",
}


def walk(store: Store, where: JobFilter, limit: int) -> list[list[bytes]]:
    """Read all pages; return the ids of each."""
    pages: list[list[bytes]] = []
    cursor: str | None = None
    while True:
        rows, following = store.page(where, limit=limit, cursor=cursor)
        ids, same = store.select(where, limit=limit, cursor=cursor)
        assert ([row.id for row in rows], following) == (ids, same), "page and select differ"
        pages.append(ids)
        if following is None:
            return pages
        assert len(pages) < 1000, "the pages have no end"
        cursor = following


class ReadingExamples(Examples):
    """How jobs are found."""

    # -- by id

    def test_jobs_are_read_in_the_order_asked_for(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(5)
        asked = [ids[3], new_id(), ids[0], ids[3], ids[4]]
        assert [None if row is None else row.id for row in store.get(asked)] == [
            ids[3], None, ids[0], ids[3], ids[4],
        ]  # fmt: skip
        assert store.get([]) == []

    def test_a_thousand_jobs_are_read_at_once(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(1000)
        assert [row.id for row in store.get(ids) if row is not None] == ids

    # -- by page

    def test_pages_are_newest_first_and_hold_every_job_once(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(7)
        assert walk(store, JobFilter(), 3) == [ids[:3:-1], ids[3:0:-1], ids[:1]]

    def test_the_last_page_has_no_cursor_even_where_it_is_full(self, bench: Bench, store: Store) -> None:
        bench.add_some(6)
        assert [len(page) for page in walk(store, JobFilter(), 3)] == [3, 3]

    def test_an_empty_store_has_one_empty_page(self, store: Store) -> None:
        assert store.page(JobFilter(), limit=10) == ([], None)

    def test_a_page_holds_a_thousand_jobs(self, bench: Bench, store: Store) -> None:
        bench.add_some(1200)
        assert [len(page) for page in walk(store, JobFilter(), 1000)] == [1000, 200]

    def test_jobs_that_come_in_between_do_not_move_the_next_page(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(6)
        _, cursor = store.page(JobFilter(), limit=3)
        bench.add_some(4)
        rows, following = store.page(JobFilter(), limit=3, cursor=cursor)
        assert ([row.id for row in rows], following) == (ids[2::-1], None)

    def test_jobs_that_go_in_between_do_not_spoil_the_cursor(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(6)
        _, cursor = store.page(JobFilter(), limit=3)
        store.delete([ids[3], ids[2]], DELETABLE)
        rows, following = store.page(JobFilter(), limit=3, cursor=cursor)
        assert ([row.id for row in rows], following) == (ids[1::-1], None)

    def test_a_job_keeps_its_place_among_the_pages_whatever_becomes_of_it(self, bench: Bench, store: Store) -> None:
        ids = bench.add_some(4)
        bench.end("dead", bench.take())
        store.retry([ids[0]], RETRYABLE)
        assert walk(store, JobFilter(), 10) == [ids[::-1]]

    @pytest.mark.parametrize("cursor", BAD_CURSORS.values(), ids=BAD_CURSORS)
    def test_a_cursor_that_is_none_is_refused(self, bench: Bench, store: Store, cursor: str) -> None:
        bench.add()
        with pytest.raises(ConfigurationError, match="cursor"):
            store.page(JobFilter(), limit=10, cursor=cursor)
        with pytest.raises(ConfigurationError, match="cursor"):
            store.select(JobFilter(), limit=10, cursor=cursor)

    # -- by filter

    def test_a_filter_by_one_state_finds_its_jobs(self, bench: Bench, store: Store) -> None:
        ids = {state: bench.bring(state) for state in JobState}
        for state in JobState:
            assert walk(store, JobFilter(states=frozenset({state})), 10) == [[ids[state]]]

    def test_a_filter_by_several_states_finds_all_of_them_in_order(self, bench: Bench, store: Store) -> None:
        ids = {state: bench.bring(state) for state in [*JobState, *JobState]}
        states = [JobState.PENDING, JobState.FAILED, JobState.CANCELLING, JobState.COMPLETED]
        found = [id for page in walk(store, JobFilter(states=frozenset(states)), 3) for id in page]
        assert len(found) == 8
        assert found[:4] == [ids[state] for state in reversed(JobState) if state in states]
        assert walk(store, JobFilter(states=frozenset()), 10) == [[]]

    @pytest.mark.parametrize(
        "where",
        [{"queue": "mail"}, {"task": "send"}, {"tag": "red"}, {"unique_key": "k"}],
        ids=lambda where: next(iter(where)),
    )
    def test_each_filter_finds_its_jobs_and_no_other(self, bench: Bench, store: Store, where: dict[str, Any]) -> None:
        bench.add(queue="mailbox", task="sender", tags=("redder", "blue"), unique_key="kk")
        id = bench.add(queue="mail", task="send", tags=("blue", "red"), unique_key="k")
        bench.add(queue="Mail", task="Send", tags=("Red",), unique_key="K")
        bench.add()
        other: dict[str, Any] = dict.fromkeys(where, "unheard of")
        assert walk(store, JobFilter(**where), 10) == [[id]]
        assert store.page(JobFilter(**other), limit=5) == ([], None)

    def test_filters_given_together_must_all_match(self, bench: Bench, store: Store) -> None:
        rows = [
            bench.row(queue=queue, task=task, tags=tags, delay=delay)
            for queue in ("mail", "other")
            for task in ("send", "read")
            for tags in ((), ("red",), ("red", "blue"))
            for delay in (0, HOUR)
        ]
        store.insert(rows)
        where = JobFilter(states=frozenset({JobState.SCHEDULED}), queue="mail", task="send", tag="red")
        expected = [row.id for row in rows if (row.queue, row.task, row.delay) == ("mail", "send", HOUR) and row.tags]
        assert walk(store, where, 1) == [[id] for id in reversed(expected)]

    def test_a_filtered_walk_holds_every_match_once(self, bench: Bench, store: Store) -> None:
        rows = [bench.row(queue=f"q{n % 3}", tags=("red",) if n % 5 == 0 else ()) for n in range(300)]
        store.insert(rows)
        expected = [row.id for n, row in enumerate(rows) if n % 15 == 0][::-1]
        found = [id for page in walk(store, JobFilter(queue="q0", tag="red"), 7) for id in page]
        assert found == expected

    def test_jobs_are_found_by_the_class_of_their_last_error(self, bench: Bench, store: Store) -> None:
        ids = [bench.add(), bench.add(), bench.add(), bench.add()]
        errors = [ErrorRecord("KeyError", "x"), ErrorRecord("ValueError", "KeyError: x"), ErrorRecord("KeyErrors", "x")]
        rows = bench.claim()
        outcomes = [
            Outcome.dead(row, error, reason=Reason.EXHAUSTED, retention=KEPT)
            for row, error in zip(rows, errors, strict=False)
        ]
        bench.finish(ANN, *outcomes)
        assert walk(store, JobFilter(error="KeyError"), 10) == [[ids[0]]]
        assert walk(store, JobFilter(error="ValueError"), 10) == [[ids[1]]]

    def test_an_error_that_was_overcome_is_not_found_any_more(self, bench: Bench, store: Store) -> None:
        retried = bench.bring(JobState.DEAD)
        completed = bench.add()
        bench.end("failed", bench.take())
        bench.later(HOUR / SECOND)
        replaced = bench.add(priority=-1)
        bench.end("completed", bench.take(queues=("default",)))
        bench.end("failed", bench.take(queues=("default",)))
        bench.later(HOUR / SECOND)
        other = Outcome.dead(bench.take(), ErrorRecord("Other", "x"), reason=Reason.EXHAUSTED, retention=KEPT)
        bench.finish(ANN, other)
        assert walk(store, JobFilter(error="Broken"), 10) == [[retried]]
        store.retry([retried], RETRYABLE)
        assert walk(store, JobFilter(error="Broken"), 10) == [[]]
        assert walk(store, JobFilter(error="Other"), 10) == [[replaced]]
        assert bench.job(completed).error is None

    def test_an_ended_job_is_still_found_by_its_key(self, bench: Bench, store: Store) -> None:
        ended = bench.bring(JobState.COMPLETED, unique_key="k")
        live = bench.add(unique_key="k")
        assert walk(store, JobFilter(unique_key="k"), 10) == [[live, ended]]
        final = JobFilter(unique_key="k", states=frozenset({JobState.COMPLETED}))
        assert walk(store, final, 10) == [[ended]]

    # -- counts

    def test_counts_name_all_eight_states(self, bench: Bench, store: Store) -> None:
        assert store.counts() == store.counts("unheard of") == empty_counts()
        for state in JobState:
            bench.bring(state)
        assert store.counts() == dict.fromkeys(JobState, 1)

    def test_counts_are_of_one_queue_where_one_is_named(self, bench: Bench, store: Store) -> None:
        bench.add_some(2, queue="mail")
        bench.add(queue="mail", task="other", delay=HOUR)
        bench.bring(JobState.DEAD, queue="other")
        assert store.counts("mail") == empty_counts() | {JobState.PENDING: 2, JobState.SCHEDULED: 1}
        assert store.counts("other") == empty_counts() | {JobState.DEAD: 1}
        assert store.counts() == empty_counts() | {JobState.PENDING: 2, JobState.SCHEDULED: 1, JobState.DEAD: 1}

    def test_estimated_counts_name_all_states_too(self, bench: Bench, store: Store) -> None:
        bench.add()
        assert store.counts(exact=False).keys() == set(JobState)

    def test_counts_follow_every_change(self, bench: Bench, store: Store) -> None:
        for ending in (*ENDINGS, "lost"):
            id = bench.add(max_crashes=1)
            row = bench.take()
            assert store.counts() == empty_counts() | {JobState.RUNNING: 1}
            if ending == "lost":
                bench.lose(row)
            else:
                bench.end(ending, row)
            assert store.counts() == empty_counts() | {bench.state(id): 1}
            store.retry([id], RETRYABLE)
            bench.cancel(id)
            assert store.counts() == empty_counts() | {JobState.CANCELLED: 1}
            store.retry([id], RETRYABLE)
            assert store.counts() == empty_counts() | {JobState.PENDING: 1}
            store.delete([id], DELETABLE)
            assert store.counts() == empty_counts()

    # -- what waits

    def test_depth_counts_what_is_pending_and_what_is_due(self, bench: Bench, store: Store) -> None:
        bench.add_some(2)
        bench.add(delay=10 * SECOND)
        bench.bring(JobState.FAILED)
        bench.bring(JobState.RUNNING)
        bench.bring(JobState.COMPLETED)
        assert store.depth() == 2
        bench.later(10)
        assert store.depth() == 3
        bench.later(HOUR / SECOND)
        assert store.depth() == 4
        store.promote()
        assert store.depth() == 4

    def test_depth_is_of_one_queue_where_one_is_named(self, bench: Bench, store: Store) -> None:
        bench.add_some(2, queue="mail")
        bench.add(queue="mail", task="another", delay=SECOND)
        bench.add(queue="other", delay=SECOND)
        assert (store.depth("mail"), store.depth("other"), store.depth("unheard of")) == (2, 0, 0)
        assert store.depth("mail", now=bench.now + SECOND) == 3
        assert store.depth(now=bench.now + SECOND) == 4

    def test_what_waits_is_told_by_queue_and_task_with_the_earliest_due_time(self, bench: Bench, store: Store) -> None:
        assert store.waiting() == []
        begin = bench.now
        bench.add(queue="mail", task="send", delay=5 * SECOND)
        bench.later(10)
        bench.add_some(2, queue="mail", task="send", priority=9)
        bench.add(queue="mail", task="read")
        bench.add(queue="archive", task="send", delay=HOUR)
        expected = [Waiting("mail", "read", 1, begin + 10 * SECOND), Waiting("mail", "send", 3, begin + 5 * SECOND)]
        assert store.waiting() == expected
        store.promote()
        assert store.waiting() == expected
        bench.take(tasks=frozenset({"read"}))
        assert store.waiting(now=bench.now + HOUR) == [
            Waiting("archive", "send", 1, begin + 10 * SECOND + HOUR), expected[1],
        ]  # fmt: skip

    def test_looking_changes_nothing(self, bench: Bench, store: Store) -> None:
        id = bench.add(delay=SECOND)
        before = bench.job(id)
        bench.later(5)
        store.depth(now=bench.now + HOUR)
        store.counts()
        store.next_due()
        store.page(JobFilter(), limit=5)
        assert bench.job(id) == before

    def test_the_next_due_time_is_that_of_the_first_that_waits(self, bench: Bench, store: Store) -> None:
        assert store.next_due() is None
        bench.add()
        assert store.next_due() is None
        bench.add(delay=20 * SECOND)
        first = bench.add(delay=10 * SECOND)
        assert store.next_due() == bench.now + 10 * SECOND
        bench.cancel(first)
        assert store.next_due() == bench.now + 20 * SECOND

    def test_a_failed_job_is_next_due_too(self, bench: Bench, store: Store) -> None:
        id = bench.bring(JobState.FAILED)
        assert store.next_due() == bench.job(id).due == bench.now + HOUR

    def test_promote_makes_due_jobs_pending_and_says_how_many(self, bench: Bench, store: Store) -> None:
        ids = [bench.add(delay=n * SECOND) for n in (1, 2, 3)]
        failed = bench.bring(JobState.FAILED)
        assert store.promote() == 0
        bench.later(2)
        assert store.promote() == 2
        assert bench.states(ids) == [JobState.PENDING, JobState.PENDING, JobState.SCHEDULED]
        bench.later(HOUR / SECOND)
        assert store.promote() == 2
        assert bench.state(failed) is JobState.PENDING
        assert store.promote() == 0

    def test_promote_takes_the_longest_due_first_and_no_more_than_asked(self, bench: Bench, store: Store) -> None:
        ids = [bench.add(delay=n * SECOND) for n in (3, 1, 2)]
        bench.later(5)
        assert store.promote(limit=2) == 2
        assert bench.states(ids) == [JobState.SCHEDULED, JobState.PENDING, JobState.PENDING]

    def test_a_promoted_job_keeps_its_due_time_and_raises_rev(self, bench: Bench, store: Store) -> None:
        id = bench.add(delay=SECOND)
        before = bench.job(id)
        bench.later(5)
        store.promote()
        assert bench.job(id).due == before.due
        assert bench.job(id).rev == before.rev + 1
