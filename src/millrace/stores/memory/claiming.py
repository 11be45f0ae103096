"""Promoting what is due and claiming what is pending. Owns the order between queues; writes nothing about outcomes.

A queue of a higher priority comes first. Queues of one priority take turns, a job each, beginning with the one that was
served longest ago. Within a queue the lanes of its tasks are merged by their heads, so a claim looks at no job it does
not take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from itertools import groupby, islice

from msgspec import UNSET

from millrace.clock import micros
from millrace.job import JobRow
from millrace.messages import ClaimRequest
from millrace.options import read_options
from millrace.states import JobState
from millrace.store import MAX_CLAIM
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.limited import Buckets, LimitedHeads
from millrace.stores.memory.rules import NO_RULES, QueueRules
from millrace.stores.memory.shelf import Lane, Shelf

__all__ = ["Claims", "promote"]


def promote(shelf: Shelf, now: int, limit: int | None = None) -> int:
    """Make due jobs pending, those due longest first; return how many."""
    promoted = 0
    while (limit is None or promoted < limit) and (first := shelf.waiting.first) and first[0] <= now:
        entry = first[1]
        entry.state = JobState.PENDING
        shelf.relist(entry)
        promoted += 1
    return promoted


class Claims:
    """The claims of one store, and whose turn it is."""

    def __init__(self, shelf: Shelf, rules: Mapping[str, QueueRules]) -> None:
        self._shelf = shelf
        self._rules = rules
        self._buckets = Buckets()
        self.room_at: int | None = None  #: when a job that only a rate held back in the last claim may be claimed
        self._served: dict[str, int] = {}  # by queue: the claim that it was last served by
        self._count = 0

    def claim(self, worker: int, request: ClaimRequest, now: int) -> list[JobRow]:
        """Claim up to `request.limit` jobs that are pending already."""
        rows: list[JobRow] = []
        self.room_at = None
        for entry in islice(self._next(request, now), min(request.limit, MAX_CLAIM)):
            entry.state = JobState.RUNNING
            entry.claim += 1
            entry.attempt += 1
            entry.worker = worker
            entry.started = now
            entry.lease = now + _lease(entry, request)
            entry.reason = None
            self._shelf.relist(entry)
            rows.append(entry.row())
        return rows

    def _next(self, request: ClaimRequest, now: int) -> Iterator[Entry]:
        """Yield the jobs to claim, one after another; each must be claimed before the next is asked for."""
        heads = [head for queue in self._queues(request) if (head := self._heads(queue, request, now)) is not None]
        heads.sort(key=lambda head: (-head.priority, self._served.get(head.queue, 0), head.queue))
        for _, level in groupby(heads, key=lambda head: head.priority):
            open_ones = [head for head in level if head.goes_on()]
            while open_ones:
                for head in open_ones:
                    self._count += 1
                    self._served[head.queue] = self._count
                    yield head.take()
                open_ones = [head for head in open_ones if head.goes_on()]
        self._note_rates(heads)

    def _queues(self, request: ClaimRequest) -> list[str]:
        lanes, groups = self._shelf.lanes, self._shelf.groups
        if request.queues is None:
            return list({**lanes, **groups}) if groups else list(lanes)
        return [queue for queue in dict.fromkeys(request.queues) if queue in lanes or queue in groups]

    def _note_rates(self, heads: Iterable[_Heads | LimitedHeads]) -> None:
        times = [head.room_at for head in heads if head.room_at is not None]
        self.room_at = min(times, default=None)

    def _heads(self, queue: str, request: ClaimRequest, now: int) -> _Heads | LimitedHeads | None:
        """Return what may be taken from a queue now, None where that is nothing."""
        rules = self._rules.get(queue, NO_RULES)
        if rules.paused:
            return None
        lanes = self._shelf.lanes.get(queue, {})
        if request.tasks is not None:
            lanes = {task: lane for task, lane in lanes.items() if task in request.tasks}
        room = request.limit
        if rules.concurrency is not None:
            counts = self._shelf.counts[queue]
            room = rules.concurrency - counts[JobState.RUNNING] - counts[JobState.CANCELLING]
        if room > 0 and (rules.pace is not None or queue in self._shelf.groups):
            return LimitedHeads(self._shelf, self._buckets, queue, rules=rules, tasks=request.tasks, room=room, now=now)
        return _Heads(queue, rules.priority, room, list(lanes.values())) if lanes and room > 0 else None


class _Heads:
    """The lanes of one queue, merged by the job at the head of each."""

    __slots__ = ("_heads", "_room", "priority", "queue")

    room_at: int | None = None

    def __init__(self, queue: str, priority: int, room: int, lanes: list[Lane]) -> None:
        self.queue = queue
        self.priority = priority
        self._room = room
        self._heads = [(first[0], place, lane) for place, lane in enumerate(lanes) if (first := lane.first)]
        heapify(self._heads)

    def goes_on(self) -> bool:
        """Tell whether there is another job to take, and room for it; asked once the one before has left its lane."""
        while self._heads:
            rank, place, lane = self._heads[0]
            first = lane.first
            if first is None:
                heappop(self._heads)
            elif first[0] != rank:
                heapreplace(self._heads, (first[0], place, lane))
            else:
                return self._room > 0
        return False

    def take(self) -> Entry:
        """Return the first job of the queue."""
        self._room -= 1
        first = self._heads[0][2].first
        assert first is not None  # noqa: S101 - the queue had pending jobs, or `goes_on` said so
        return first[1]


def _lease(entry: Entry, request: ClaimRequest) -> int:
    """Return how long the lease lasts: the job's own word, else the task's, else the request's."""
    if entry.options is not None:
        own = read_options(entry.options).lease
        if own is not UNSET:
            return micros(own)
    return request.leases.get(entry.task, request.lease)
