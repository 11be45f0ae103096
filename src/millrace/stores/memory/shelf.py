"""The jobs and every index over them. Owns that the indexes agree with the jobs; decides nothing, takes no lock.

A verb changes the fields of an `Entry` and then calls `relist`, which moves the job from the index of its former
state to that of its present one and counts the change.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import TypeVar

from millrace.followups import Ended
from millrace.groups import counter_name
from millrace.messages import NewRow, empty_counts
from millrace.states import ACTIVE, FINAL, WAITING, JobState
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.line import Line

__all__ = ["Shelf"]

K = TypeVar("K", str, tuple[str, str])

_ref = attrgetter("ref")

Lane = Line[tuple[int, int, bytes]]  #: pending jobs of one queue and task, by priority, due and id


class Shelf:
    """All jobs of one memory store.

    Attributes:
        jobs: Every job by id.
        holders: The live job that holds each unique key; a job that holds it for another time than its life stays here
            until it goes or another one takes the key over, so look by `holder`.
        lanes: The pending jobs by queue and task; only lanes that are not empty.
        groups: Likewise those that fall under limits, by queue, task and group.
        live: Running and cancelling jobs by queue and the counter of their key, where that is limited.
        waiting: Scheduled and failed jobs by due time.
        leases: Running and cancelling jobs by the end of their lease.
        ends: Ended jobs by the end of their retention; those kept for ever are not in it.
        counts: How many jobs of each state, by queue; only queues that have jobs.
        followed: By parent, the jobs that wait for it; only parents that have such.
        waits: By job, the parents that it waits for; only jobs that do.
        ended: The parents that have ended and have not acted yet.
        order: The jobs as inserted; what was removed is passed over, and cleared out when half of it is gone.
    """

    def __init__(self) -> None:
        self.jobs: dict[bytes, Entry] = {}
        self.holders: dict[str, Entry] = {}
        self.lanes: dict[str, dict[str, Lane]] = {}
        self.groups: dict[str, dict[tuple[str, str], Lane]] = {}
        self.live: dict[str, dict[str, int]] = {}
        self.waiting = Line[int]()
        self.leases = Line[int]()
        self.ends = Line[int]()
        self.counts: dict[str, dict[JobState, int]] = {}
        self.followed: dict[bytes, dict[bytes, None]] = {}
        self.waits: dict[bytes, dict[bytes, None]] = {}
        self.ended: dict[bytes, Ended] = {}
        self.order: list[Entry] = []
        self._made = 0

    def make(self, new: NewRow, now: int) -> Entry:
        """Make a job that is not on the shelf yet."""
        self._made += 1
        return Entry(self._made, new, now)

    def add(self, entry: Entry) -> None:
        """Put a new job on the shelf."""
        self.jobs[entry.id] = entry
        self.order.append(entry)
        self._list(entry)

    def holder(self, key: str | None, now: int) -> Entry | None:
        """Return the job that holds a unique key."""
        entry = None if key is None else self.holders.get(key)
        return entry if entry is not None and (entry.scope is None or entry.holds(now)) else None

    def take_key(self, entry: Entry) -> None:
        """Give a job its key, which nobody holds, where that is not held for the length of its life."""
        if entry.unique_key is not None and entry.scope is not None:
            self.holders[entry.unique_key] = entry

    def remove(self, entry: Entry) -> None:
        """Take a job off the shelf, with all that belongs to it."""
        if entry.id in self.followed and entry.id not in self.ended:
            state = entry.state if entry.state in FINAL else JobState.CANCELLED
            self.ended[entry.id] = Ended(state, entry.result)
        self._unlist(entry)
        if entry.unique_key is not None and entry.scope is not None and self.holders.get(entry.unique_key) is entry:
            del self.holders[entry.unique_key]
        del self.jobs[entry.id]
        if len(self.order) > 2 * len(self.jobs):
            self.order = [each for each in self.order if each.listed is not None]

    def relist(self, entry: Entry) -> None:
        """Follow a change of a job's state, due time or lease, and count it in `rev`."""
        self._unlist(entry)
        entry.rev += 1
        self._list(entry)
        if self.followed:
            self.note_end(entry)

    def note_end(self, entry: Entry) -> None:
        """Note that a job has ended, where others wait for it."""
        if entry.state in FINAL and entry.id in self.followed:
            self.ended[entry.id] = Ended(entry.state, entry.result)

    def held(self, worker: int, id: bytes, claim: int) -> Entry | None:
        """Return a job if this claim of this worker still holds it, its lease passed or not: the fence."""
        entry = self.jobs.get(id)
        if entry is None or entry.claim != claim or entry.worker != worker or entry.state not in ACTIVE:
            return None
        return entry

    def newest_first(self, below: int | None = None) -> Iterator[Entry]:
        """Yield jobs, newest first; only those with a handle below the one given."""
        order = self.order
        start = len(order) if below is None else bisect_left(order, below, key=_ref)
        for place in range(start - 1, -1, -1):
            if order[place].listed is not None:
                yield order[place]

    def oldest_first(self, above: int = 0) -> Iterator[Entry]:
        """Yield jobs, oldest first; only those with a handle above the one given."""
        order = self.order
        start = bisect_right(order, above, key=_ref)
        return (entry for entry in islice(order, start, None) if entry.listed is not None)

    def pending(self) -> Iterator[Entry]:
        """Yield pending jobs, lane by lane."""
        plain = (entry for lanes in self.lanes.values() for lane in lanes.values() for entry in lane)
        return chain(plain, (entry for lanes in self.groups.values() for lane in lanes.values() for entry in lane))

    def _list(self, entry: Entry) -> None:
        state = entry.state
        if state is JobState.PENDING:
            if entry.group is None:
                lane = self.lanes.setdefault(entry.queue, {}).setdefault(entry.task, Line())
            else:
                lane = self.groups.setdefault(entry.queue, {}).setdefault((entry.task, entry.group), Line())
            lane.put((-entry.priority, entry.due, entry.id), entry)
        elif state in WAITING:
            self.waiting.put(entry.due, entry)
        elif entry.lease is not None:
            self.leases.put(entry.lease, entry)
            self._count_live(entry, 1)
        elif entry.expires is not None:
            self.ends.put(entry.expires, entry)
        if entry.unique_key is not None and entry.scope is None and state not in FINAL:
            self.holders[entry.unique_key] = entry
        if entry.queue not in self.counts:
            self.counts[entry.queue] = empty_counts()
        self.counts[entry.queue][state] += 1
        entry.listed = state

    def _unlist(self, entry: Entry) -> None:
        state = entry.listed
        if state is None:
            return
        if state is JobState.PENDING:
            self._leave_lane(entry)
        elif state in WAITING:
            self.waiting.drop(entry)
        elif state in ACTIVE:
            self.leases.drop(entry)
            self._count_live(entry, -1)
        else:
            self.ends.drop(entry)
        if entry.unique_key is not None and entry.scope is None and state not in FINAL:
            del self.holders[entry.unique_key]
        counts = self.counts[entry.queue]
        counts[state] -= 1
        if not any(counts.values()):
            del self.counts[entry.queue]
        entry.listed = None

    def _leave_lane(self, entry: Entry) -> None:
        if entry.group is None:
            _leave(self.lanes, entry.queue, entry.task, entry)
        else:
            _leave(self.groups, entry.queue, (entry.task, entry.group), entry)

    def _count_live(self, entry: Entry, by: int) -> None:
        limits = entry.limits
        if limits is None or limits.limit is None:
            return
        live = self.live.setdefault(entry.queue, {})
        counter = counter_name(entry.task, limits.limit_key)
        live[counter] = live.get(counter, 0) + by
        if not live[counter]:
            del live[counter]
            if not live:
                del self.live[entry.queue]


def _leave(lanes_of: dict[str, dict[K, Lane]], queue: str, key: K, entry: Entry) -> None:
    lanes = lanes_of[queue]
    lane = lanes[key]
    lane.drop(entry)
    if not lane:
        del lanes[key]
        if not lanes:
            del lanes_of[queue]
