"""The state machine of schedules: random lives of them on a real store, compared with a dictionary after every rule.

What matters is who comes late: a firing worked out from an old look, a change from an old read, a tick whose schedule
was deleted and put again. So looks are kept, and used whenever.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule
from msgspec.structs import replace

from millrace.clock import SECOND
from millrace.messages import NewRow
from millrace.scheduling import Firing, ScheduleRow, Scheduling
from millrace.states import DELETABLE
from millrace.store import Store
from millrace.testing.clock import ManualClock
from millrace.ticking import tick_id

__all__ = ["ScheduleMachine"]

START = 1_800_000_000 * SECOND

names = st.sampled_from(["hourly", "daily", "weekly"])


class ScheduleMachine(RuleBasedStateMachine):
    """Subclass it with a `make_store` whose stores keep schedules, and run its `TestCase`.

    >>> from millrace.stores import MemoryStore
    >>> class Machine(ScheduleMachine):
    ...     def make_store(self, clock):
    ...         return MemoryStore(clock=clock)
    """

    looks = Bundle("looks")

    @abstractmethod
    def make_store(self, clock: ManualClock) -> Store:
        """Make an empty store on a clock that the machine moves."""

    @initialize()
    def begin(self) -> None:
        """Start empty."""
        self.clock = ManualClock(START)
        self.store = self.make_store(self.clock)
        self.book = cast("Scheduling", self.store)
        self.rows: dict[str, ScheduleRow] = {}
        self.fired: dict[str, dict[int, bytes]] = {}  # the ticks known of each
        self.jobs: set[bytes] = set()

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    # -- rules

    @rule(seconds=st.sampled_from([1, 2, 5]))
    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(name=names, ahead=st.sampled_from([None, -3, 0, 2]), paused=st.booleans())
    def put(self, name: str, ahead: int | None, *, paused: bool) -> None:
        """Write a schedule, new or as it was just read."""
        now = self.clock.now()
        before = self.rows.get(name, ScheduleRow(name, b"{}"))
        row = replace(before, next=None if ahead is None else now + ahead * SECOND, paused=paused)
        assert self.book.put_schedule(row)
        self._written(row)

    @rule(target=looks, limit=st.integers(1, 3))
    def look(self, limit: int) -> MultipleResults[ScheduleRow]:
        """See what is due, to fire it now or later."""
        now = self.clock.now()
        due = sorted(
            (row for row in self.rows.values() if not row.paused and row.next is not None and row.next <= now),
            key=lambda row: (row.next, row.name),
        )
        assert due[:limit] == self.book.due_schedules(limit=limit)
        return multiple(*due[:limit])

    @rule(row=looks, paused=st.booleans())
    def change(self, row: ScheduleRow, *, paused: bool) -> None:
        """Write a schedule as it was read once, which may be long ago."""
        changed = replace(row, paused=paused)
        current = self._is_current(row)
        assert self.book.put_schedule(changed) == current
        if current:
            self._written(changed)

    @rule(some=st.lists(looks, min_size=1, max_size=3, unique_by=lambda row: row.name), ticks=st.integers(0, 3))
    def fire(self, some: list[ScheduleRow], ticks: int) -> None:
        """Fire schedules as they were read once: of two who do, one does."""
        firings = [self._firing(row, ticks) for row in some]
        current = [self._is_current(row) for row in some]
        assert self.book.fire(firings) == current
        for firing, holds in zip(firings, current, strict=True):
            if holds:
                self._written(firing.row)
                for tick, job in zip(firing.ticks, firing.jobs, strict=True):
                    known = self.fired.setdefault(firing.row.name, {})
                    if tick not in known:
                        known[tick] = job.id
                        self.jobs.add(job.id)

    @rule(name=names)
    def delete(self, name: str) -> None:
        """Delete a schedule; its jobs stay."""
        assert self.book.delete_schedule(name) == (name in self.rows)
        self.rows.pop(name, None)
        self.fired.pop(name, None)

    @rule(data=st.data())
    def delete_a_job(self, data: st.DataObject) -> None:
        """Delete the job of a tick, which must not bring it back."""
        if self.jobs:
            id = data.draw(st.sampled_from(sorted(self.jobs)))
            (changed,) = self.store.delete([id], DELETABLE)
            assert changed.changed
            self.jobs.remove(id)

    # -- a composite rule: plain ones meet too seldom in this order

    @rule(
        name=names,
        meanwhile=st.sampled_from(["fired", "paused", "deleted", "put again", "its job deleted"]),
        ticks=st.integers(1, 3),
    )
    def late_firing(self, name: str, meanwhile: str, ticks: int) -> None:
        """One worker looks and stalls, something becomes of the schedule, and only then the worker fires."""
        self.put(name, -3, paused=False)
        row = next(row for row in self.look(3).values if row.name == name)
        if meanwhile in {"fired", "its job deleted"}:
            self.fire([row], ticks)
        elif meanwhile == "paused":
            self.change(row, paused=True)
        else:
            self.delete(name)
        if meanwhile == "its job deleted":
            gone = tick_id(name, row.next or 0)
            if gone in self.jobs:
                self.store.delete([gone], DELETABLE)
                self.jobs.remove(gone)
            self.put(name, -3, paused=False)
            row = replace(self.rows[name], next=row.next)
        elif meanwhile == "put again":
            self.put(name, -3, paused=False)
        self.fire([row], ticks)

    # -- what must hold after every rule

    @invariant()
    def every_schedule_is_as_it_was_last_written(self) -> None:
        """Compare all of them, and when the next one ticks."""
        assert [self.rows[name] for name in sorted(self.rows)] == self.book.schedules()
        open_ones = [row.next for row in self.rows.values() if not row.paused and row.next is not None]
        assert min(open_ones, default=None) == self.book.next_tick()

    @invariant()
    def each_tick_has_made_one_job(self) -> None:
        """Compare the ticks of each, newest first, and all jobs."""
        for name in self.rows:
            known = sorted(self.fired.get(name, {}).items(), reverse=True)
            assert known == [(tick.at, tick.job) for tick in self.book.ticks(name)]
        assert sum(self.store.counts().values()) == len(self.jobs)

    # -- the steps that rules share

    def _firing(self, row: ScheduleRow, ticks: int) -> Firing:
        assert row.next is not None
        times = tuple(row.next + number * SECOND for number in range(ticks))
        last = times[-1] if times else row.last
        after = replace(row, watermark=row.next, last=last, next=row.next + 2 * SECOND)
        return Firing(after, times, tuple(NewRow(tick_id(row.name, at), "tick", "alpha", b"{}") for at in times))

    def _is_current(self, row: ScheduleRow) -> bool:
        there = self.rows.get(row.name)
        return there is not None and there.rev == row.rev

    def _written(self, row: ScheduleRow) -> None:
        self.rows[row.name] = replace(row, rev=row.rev + 1)
