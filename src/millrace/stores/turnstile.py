"""Which jobs of a queue with limits go next. Owns the choice and what it costs in places and tokens; reads no store.

A store hands over the head of each stream, which is what waits of one task and one group, with the running jobs of
each key and the buckets. Of equal priority the keys of `fair` take turns, and all jobs without one are as one key; in
what is left the order is that of every queue: priority, due, id. A stream that has no room is passed by.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any

from millrace.groups import Bucket, Group, Pace, bucket_name, counter_name

__all__ = ["Rank", "Rules", "Stream", "Tap", "Turnstile"]

Rank = tuple[int, int, bytes]  #: priority negated, due, id

_NO_GROUP = Group()


class Stream:
    """What waits of one task and one group, in order, as far as it was read.

    Args:
        task: Its name.
        group: Its limits; None for jobs that have none.
        ranks: The first of its jobs, in order.
        jobs: What the store knows each of them by.
        whole: There are no more.
        handle: The store's own.
    """

    __slots__ = ("at", "counter", "group", "handle", "jobs", "party", "ranks", "tap", "task", "whole")

    def __init__(
        self,
        task: str,
        group: Group | None,
        ranks: Sequence[Rank],
        jobs: Sequence[Any],
        *,
        whole: bool = False,
        handle: Any = None,
    ) -> None:
        self.task = task
        self.group = group = group or _NO_GROUP
        self.ranks = ranks
        self.jobs = jobs
        self.whole = whole
        self.handle = handle
        self.at = 0
        self.party = "" if group.fair is None else f"{task}\0{group.fair}"
        self.counter = None if group.limit is None else counter_name(task, group.limit_key)
        self.tap: Tap | None = None  #: of its rate, once the queue is known


class Tap:
    """A bucket at one moment: what may still be taken, and what was."""

    __slots__ = ("bucket", "left", "pace", "taken")

    def __init__(self, bucket: Bucket, pace: Pace, left: int) -> None:
        self.bucket = bucket
        self.pace = pace
        self.left = left
        self.taken = 0

    def draw(self) -> None:
        """Take a token."""
        self.left -= 1
        self.taken += 1


_Party = list[tuple[Rank, int, Stream]]  #: a heap of streams by their next job


class Rules:
    """What holds a queue back at one moment.

    Args:
        queue: Its name.
        room: How many more of its jobs may run.
        pace: Its rate.
        live: The running jobs by the counter of their key; changed as jobs are chosen.
        buckets: By name, those that owe something; one is added for each rate that is met.
        now: The time.
    """

    __slots__ = ("_taps", "buckets", "live", "now", "pace", "queue", "room", "room_at", "spent")

    def __init__(
        self,
        queue: str,
        *,
        room: int,
        pace: Pace | None,
        live: MutableMapping[str, int],
        buckets: MutableMapping[str, Bucket],
        now: int,
    ) -> None:
        self.queue = queue
        self.room = room
        self.pace = pace
        self.live = live
        self.buckets = buckets
        self.now = now
        self._taps: dict[str, Tap] = {}
        self.spent: dict[str, Pace] = {}  #: the buckets that tokens were taken from, once `settle` has seen to them
        self.room_at: int | None = None  #: when the first of the tokens comes that were wanted and not there

    def tap(self, name: str, pace: Pace) -> Tap:
        """Return the tap of a bucket."""
        tap = self._taps.get(name)
        if tap is None:
            bucket = self.buckets.get(name)
            if bucket is None:
                bucket = self.buckets[name] = Bucket()
            tap = self._taps[name] = Tap(bucket, pace, bucket.tokens(pace, self.now))
        return tap

    def runs(self, tap: Tap) -> bool:
        """Tell whether a tap has a token; where not, note when the next one comes."""
        if tap.left > 0:
            return True
        owed = tap.bucket.owed(tap.pace, self.now) + tap.taken * tap.pace.cost
        at = self.now + max(0, -((tap.pace.most - owed - tap.pace.cost) // tap.pace.flow))
        self.room_at = at if self.room_at is None else min(self.room_at, at)
        return False

    def settle(self) -> None:
        """Take from the buckets what was chosen."""
        for name, tap in self._taps.items():
            if tap.taken:
                tap.bucket.spend(tap.pace, self.now, tap.taken)
                tap.taken = 0
                self.spent[name] = tap.pace


class Turnstile:
    """The choice among the streams of one queue.

    Args:
        rules: What holds the queue back.
        streams: What waits, each with at least one rank.
        last: The party that was served last, whose turn comes after the others.
        more: Reads on in a stream, whose jobs up to `at` were chosen: adds to `ranks` and `jobs`, or says that it is
            whole.
    """

    def __init__(self, rules: Rules, streams: Sequence[Stream], last: str, more: Callable[[Stream], None]) -> None:
        self._rules = rules
        self._more = more
        self.last = last
        self._tap = None if rules.pace is None else rules.tap(bucket_name(rules.queue, rules.pace), rules.pace)
        self._parties: dict[str, _Party] = {}
        for place, stream in enumerate(streams):
            pace = stream.group.rate
            if pace is not None:
                stream.tap = rules.tap(bucket_name(rules.queue, pace, stream.task, stream.group.rate_key), pace)
            self._parties.setdefault(stream.party, []).append((stream.ranks[0], place, stream))
        for heap in self._parties.values():
            heapify(heap)
        # by priority, then by turn, those behind the one served last first
        self._open = [(heap[0][0][0], int(name <= last), name) for name, heap in self._parties.items()]
        heapify(self._open)
        self._turn = 2

    def take(self, limit: int) -> list[tuple[Stream, Any]]:
        """Choose up to `limit` jobs, in order, and count them against the limits."""
        chosen: list[tuple[Stream, Any]] = []
        while len(chosen) < limit and self.ready():
            chosen.append(self._choose())
        return chosen

    def ready(self) -> bool:
        """Tell whether there is a job to choose, the ones chosen before having left their streams."""
        rules = self._rules
        while self._open and rules.room > 0:
            level, turn, party = self._open[0]
            heap = self._parties[party]
            if not self._settle(heap):  # what it shares with others is used up
                heappop(self._open)
            elif heap[0][0][0] != level:
                heapreplace(self._open, (heap[0][0][0], turn, party))
            else:
                return self._tap is None or rules.runs(self._tap)
        return False

    def _choose(self) -> tuple[Stream, Any]:
        rules = self._rules
        level, _, party = self._open[0]
        stream = self._parties[party][0][2]
        rules.room -= 1
        if self._tap is not None:
            self._tap.draw()
        if stream.counter is not None:
            rules.live[stream.counter] = rules.live.get(stream.counter, 0) + 1
        if stream.tap is not None:
            stream.tap.draw()
        job = stream.jobs[stream.at]
        stream.at += 1
        self._turn += 1
        self.last = party
        # its next job is looked at only when it is its turn; of a higher priority than this one it cannot be
        heapreplace(self._open, (level, self._turn, party))
        return stream, job

    def _settle(self, heap: _Party) -> bool:
        """Bring the next job of a party that has room to the top; False where there is none."""
        while heap:
            rank, place, stream = heap[0]
            if stream.at >= len(stream.ranks) and not stream.whole:
                self._more(stream)
            if stream.at >= len(stream.ranks) or not self._has_room(stream):
                heappop(heap)
            elif stream.ranks[stream.at] != rank:
                heapreplace(heap, (stream.ranks[stream.at], place, stream))
            else:
                return True
        return False

    def _has_room(self, stream: Stream) -> bool:
        group, rules = stream.group, self._rules
        if group.limit is not None and rules.live.get(stream.counter or "", 0) >= group.limit:
            return False
        return stream.tap is None or rules.runs(stream.tap)
