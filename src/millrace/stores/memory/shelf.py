"""The jobs and every index over them. Owns that the indexes agree with the jobs; decides nothing, takes no lock.

A verb changes the fields of an `Entry` and then calls `relist`, which moves the job from the index of its former
state to that of its present one and counts the change.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter

from millrace.messages import NewRow, empty_counts
from millrace.states import ACTIVE, FINAL, WAITING, JobState
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.line import Line

__all__ = ["Shelf"]

_ref = attrgetter("ref")

Lane = Line[tuple[int, int, bytes]]  #: pending jobs of one queue and task, by priority, due and id


class Shelf:
    """All jobs of one memory store.

    Attributes:
        jobs: Every job by id.
        holders: The live job that holds each unique key.
        lanes: The pending jobs by queue and task; only lanes that are not empty.
        waiting: Scheduled and failed jobs by due time.
        leases: Running and cancelling jobs by the end of their lease.
        ends: Ended jobs by the end of their retention; those kept for ever are not in it.
        counts: How many jobs of each state, by queue; only queues that have jobs.
        order: The jobs as inserted; what was removed is passed over, and cleared out when half of it is gone.
    """

    def __init__(self) -> None:
        self.jobs: dict[bytes, Entry] = {}
        self.holders: dict[str, Entry] = {}
        self.lanes: dict[str, dict[str, Lane]] = {}
        self.waiting = Line[int]()
        self.leases = Line[int]()
        self.ends = Line[int]()
        self.counts: dict[str, dict[JobState, int]] = {}
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

    def remove(self, entry: Entry) -> None:
        """Take a job off the shelf, with all that belongs to it."""
        self._unlist(entry)
        del self.jobs[entry.id]
        if len(self.order) > 2 * len(self.jobs):
            self.order = [each for each in self.order if each.listed is not None]

    def relist(self, entry: Entry) -> None:
        """Follow a change of a job's state, due time or lease, and count it in `rev`."""
        self._unlist(entry)
        entry.rev += 1
        self._list(entry)

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
        return (entry for lanes in self.lanes.values() for lane in lanes.values() for entry in lane)

    def _list(self, entry: Entry) -> None:
        state = entry.state
        if state is JobState.PENDING:
            lane = self.lanes.setdefault(entry.queue, {}).setdefault(entry.task, Line())
            lane.put((-entry.priority, entry.due, entry.id), entry)
        elif state in WAITING:
            self.waiting.put(entry.due, entry)
        elif entry.lease is not None:
            self.leases.put(entry.lease, entry)
        elif entry.expires is not None:
            self.ends.put(entry.expires, entry)
        if entry.unique_key is not None and state not in FINAL:
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
        else:
            self.ends.drop(entry)
        if entry.unique_key is not None and state not in FINAL:
            del self.holders[entry.unique_key]
        counts = self.counts[entry.queue]
        counts[state] -= 1
        if not any(counts.values()):
            del self.counts[entry.queue]
        entry.listed = None

    def _leave_lane(self, entry: Entry) -> None:
        lanes = self.lanes[entry.queue]
        lane = lanes[entry.task]
        lane.drop(entry)
        if not lane:
            del lanes[entry.task]
            if not lanes:
                del self.lanes[entry.queue]
