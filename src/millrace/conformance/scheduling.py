"""Examples of schedules: what a store keeps of them, and that each tick is fired once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from millrace.clock import SECOND
from millrace.conformance.bench import HOUR, Bench
from millrace.conformance.examples import Examples
from millrace.scheduling import KEPT_TICKS, Firing, ScheduleRow, Scheduling
from millrace.states import JobState
from millrace.store import Store

__all__ = ["ScheduleExamples"]


class ScheduleExamples(Examples):
    """For stores that keep schedules (`scheduling.Scheduling`)."""

    @pytest.fixture
    def book(self, store: Store) -> Scheduling:
        """The store as one that keeps schedules."""
        assert isinstance(store, Scheduling)
        return store

    def put(self, book: Scheduling, name: str = "report", **fields: Any) -> ScheduleRow:
        """Write a schedule that is not there, and read it back."""
        assert book.put_schedule(ScheduleRow(name, b'{"every":60}', **fields))
        row = book.schedule(name)
        assert row is not None
        return row

    def firing(self, bench: Bench, row: ScheduleRow, *ticks: int, **fields: Any) -> Firing:
        """Make what fires some ticks of a schedule, the next one coming a minute later."""
        last = max(ticks, default=row.watermark)
        changed = replace(row, watermark=last, last=last, next=last + 60 * SECOND)
        return Firing(changed, ticks, tuple(bench.row(**fields) for _ in ticks))

    # -- keeping them

    def test_a_schedule_reads_back_as_it_was_put(self, book: Scheduling) -> None:
        row = ScheduleRow("käse \N{SNOWMAN}", b'{"a":1}', watermark=5, next=2**52, last=4, paused=True)
        assert book.put_schedule(row)
        assert book.schedule(row.name) == replace(row, rev=1)
        assert book.schedule("another") is None

    def test_schedules_are_told_by_name(self, book: Scheduling) -> None:
        for name in ("b", "a", "c"):
            self.put(book, name)
        assert [row.name for row in book.schedules()] == ["a", "b", "c"]

    def test_a_change_is_refused_to_who_has_read_an_older_one(self, book: Scheduling) -> None:
        first = self.put(book)
        assert book.put_schedule(replace(first, paused=True))
        assert not book.put_schedule(replace(first, spec=b"{}"))
        now = book.schedule("report")
        assert now == replace(first, paused=True, rev=2)

    def test_two_do_not_both_put_a_new_one(self, book: Scheduling) -> None:
        self.put(book)
        assert not book.put_schedule(ScheduleRow("report", b"{}"))

    def test_what_was_deleted_is_not_brought_back_by_a_late_change(self, book: Scheduling) -> None:
        row = self.put(book)
        assert book.delete_schedule("report")
        assert not book.delete_schedule("report")
        assert not book.put_schedule(row)
        assert book.schedules() == []

    # -- what is due

    def test_those_are_due_whose_tick_has_come_the_first_first(self, bench: Bench, book: Scheduling) -> None:
        for name, at in (("soon", 10), ("now", 0), ("before", -10), ("after an hour", 3600)):
            self.put(book, name, next=bench.now + at * SECOND)
        self.put(book, "never")
        self.put(book, "paused", next=0, paused=True)
        assert [row.name for row in book.due_schedules()] == ["before", "now"]
        assert [row.name for row in book.due_schedules(limit=1)] == ["before"]
        assert book.next_tick() == bench.now - 10 * SECOND
        bench.later(10)
        assert [row.name for row in book.due_schedules()] == ["before", "now", "soon"]
        assert [row.name for row in book.due_schedules(now=bench.now - SECOND)] == ["before", "now"]

    def test_without_schedules_none_is_ever_due(self, book: Scheduling) -> None:
        assert book.next_tick() is None
        self.put(book, "paused", next=0, paused=True)
        self.put(book, "never")
        assert book.next_tick() is None
        assert book.due_schedules() == []

    # -- firing

    def test_a_tick_makes_its_job(self, bench: Bench, store: Store, book: Scheduling) -> None:
        row = self.put(book, next=bench.now)
        firing = self.firing(bench, row, bench.now, args=b'{"n":1}', queue="mail", priority=3)
        assert book.fire([firing]) == [True]
        job = bench.job(firing.jobs[0].id)
        assert (job.state, job.args, job.queue, job.priority) == (JobState.PENDING, b'{"n":1}', "mail", 3)
        assert book.schedule("report") == replace(firing.row, rev=2)
        assert [(tick.at, tick.job) for tick in book.ticks("report")] == [(bench.now, job.id)]
        assert store.depth() == 1

    def test_whoever_comes_second_fires_nothing(self, bench: Bench, store: Store, book: Scheduling) -> None:
        row = self.put(book, next=bench.now)
        assert book.fire([self.firing(bench, row, bench.now)]) == [True]
        assert book.fire([self.firing(bench, row, bench.now)]) == [False]
        assert store.depth() == 1

    def test_one_that_was_changed_or_deleted_meanwhile_is_left_and_others_fire(
        self, bench: Bench, store: Store, book: Scheduling
    ) -> None:
        rows = [self.put(book, name, next=bench.now) for name in ("a", "b", "c", "d")]
        assert book.put_schedule(replace(rows[1], paused=True))
        assert book.delete_schedule("c")
        firings = [self.firing(bench, row, bench.now) for row in rows]
        assert book.fire(firings) == [True, False, False, True]
        assert store.depth() == 2
        assert book.schedule("c") is None

    def test_a_tick_fired_before_makes_no_second_job(self, bench: Bench, store: Store, book: Scheduling) -> None:
        """Whatever the schedule says now: somebody may have put it back."""
        row = self.put(book, next=bench.now)
        first = self.firing(bench, row, bench.now)
        assert book.fire([first]) == [True]
        again = replace(first.row, rev=2, watermark=0, next=bench.now)
        assert book.fire([self.firing(bench, again, bench.now)]) == [True]
        assert store.depth() == 1

    def test_a_tick_whose_job_is_there_makes_none(self, bench: Bench, store: Store, book: Scheduling) -> None:
        row = self.put(book, next=bench.now)
        there = bench.row()
        store.insert([there])
        firing = self.firing(bench, row, bench.now)
        assert book.fire([replace(firing, jobs=(there,))]) == [True]
        assert store.depth() == 1

    def test_many_ticks_of_many_schedules_fire_at_once(self, bench: Bench, store: Store, book: Scheduling) -> None:
        ticks = [bench.now + second * SECOND for second in range(20)]
        rows = [self.put(book, f"s{number}", next=ticks[0]) for number in range(30)]
        assert book.fire([self.firing(bench, row, *ticks, queue=row.name, due=ticks[0]) for row in rows]) == [True] * 30
        assert store.depth() == 600
        assert [tick.at for tick in book.ticks("s7")] == ticks[::-1]
        assert [tick.at for tick in book.ticks("s7", limit=2)] == ticks[:-3:-1]

    def test_a_schedule_may_move_on_without_a_tick(self, bench: Bench, store: Store, book: Scheduling) -> None:
        row = self.put(book, next=bench.now)
        moved = replace(row, watermark=bench.now, next=bench.now + HOUR)
        assert book.fire([Firing(moved)]) == [True]
        assert book.due_schedules() == []
        assert store.depth() == 0
        assert book.ticks("report") == []

    def test_the_newest_ticks_are_kept(self, bench: Bench, book: Scheduling) -> None:
        row = self.put(book, next=bench.now)
        first = range(KEPT_TICKS - 1)
        assert book.fire([self.firing(bench, row, *first)]) == [True]
        row = replace(row, rev=2)
        assert book.fire([self.firing(bench, row, 500, 501, 502)]) == [True]
        assert [tick.at for tick in book.ticks("report")] == [502, 501, 500, *range(KEPT_TICKS - 2, 1, -1)]

    def test_a_job_of_a_tick_may_be_put_off(self, bench: Bench, book: Scheduling) -> None:
        row = self.put(book, next=bench.now)
        firing = self.firing(bench, row, bench.now, due=bench.now + HOUR)
        assert book.fire([firing]) == [True]
        assert bench.state(firing.jobs[0].id) is JobState.SCHEDULED
        assert bench.claim() == []

    def test_a_unique_key_that_is_held_keeps_a_tick_from_a_job(
        self, bench: Bench, store: Store, book: Scheduling
    ) -> None:
        row = self.put(book, next=bench.now)
        bench.add(unique_key="one")
        assert book.fire([self.firing(bench, row, bench.now, unique_key="one")]) == [True]
        assert store.depth() == 1
