"""The slots of a worker, and the claimed jobs that wait for one. Owns who may begin: never more at once than slots.

A worker has one lane for all, and one more for each reserved queue. In a lane the jobs wait by runner, each kind in a
`Bay`. A runner's hands (threads, or slots on the event loop) hold a slot for as long as they find jobs in their bay,
so that a job which follows another costs nothing here; only hands that come and go take the lane's lock.

Threads come one by one: each calls for the next before it runs its first job. Where handlers wait for something all are
at work within a moment; where they only compute, a few do it all, for Python runs one at a time: with 100 slots and
handlers that do nothing twice as many jobs a second as when all of them were woken for what one had done meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

from millrace.job import JobRow
from millrace.registry import RunIn
from millrace.worker.pace import Pace
from millrace.worker.uptime import uptime

__all__ = ["Bay", "Crew", "Lane"]


class Crew(Protocol):
    """A runner, as far as a lane must know it."""

    one_by_one: bool  #: a hand that begins calls for the next, so that only as many begin as find something to do

    def engage(self, bay: Bay, count: int) -> None:
        """Let so many hands begin in a bay, a slot held for each. Called with the lane's lock held."""
        ...


class Bay:
    """The jobs of one runner that wait in a lane, and its hands that have nothing to do."""

    __slots__ = ("crew", "idle", "lane", "ready")

    def __init__(self, lane: Lane, crew: Crew) -> None:
        self.lane = lane
        self.crew = crew
        self.ready: deque[JobRow] = deque()
        self.idle: list[Any] = []  #: kept by the crew


class Lane:
    """So many slots, for one reserved queue or for all.

    Args:
        size: The slots.
        crews: The runners, by what they run.
        queue: The queue the slots are reserved for; None: for any.
        most_ahead: The most jobs to claim beyond the free slots.
    """

    def __init__(self, size: int, crews: Mapping[RunIn, Crew], *, queue: str | None = None, most_ahead: int) -> None:
        self.size = size
        self.queue = queue
        self.free = size
        self.bays: dict[RunIn, Bay] = {kind: Bay(self, crew) for kind, crew in crews.items()}
        self.ahead = 0  #: jobs to claim beyond the free slots, as last reckoned
        self.low = 0  #: with so few waiting it is time to claim more
        self.idle = True  #: nothing ran here, and there was nothing to claim
        self.crowded = False  #: jobs of another runner wait for a slot: who holds one shall give way soon
        self.on_free: Callable[[], None] | None = None  #: called when a slot becomes free
        self._all = tuple(self.bays.values())
        self._first = 0  # the bay whose turn it is
        self._most_ahead = most_ahead
        self._lock = Lock()
        self._asked = 0  # jobs that claims under way may bring
        self._taken_in = 0  # jobs that have come to wait here, less those given back
        self._pace = Pace(uptime())

    @property
    def waiting(self) -> int:
        """How many jobs wait here."""
        return sum([len(bay.ready) for bay in self._all])

    @property
    def oldest(self) -> int | None:
        """When the job that has waited longest was claimed, by the store's clock."""
        heads: list[int] = []
        for bay in self._all:
            try:
                heads.append(bay.ready[0].started or 0)
            except IndexError:
                continue
        return min(heads, default=None)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits, nothing runs and nothing is being claimed here."""
        return self.free == self.size and not self.waiting and not self._asked

    def want(self, now: float, own: int = 0) -> int:
        """Return how many jobs to claim: for the free slots, and ahead as far as the pace allows.

        Args:
            now: By `uptime`.
            own: Slots that are held by who asks, and will be free for what comes.
        """
        waiting = self.waiting
        free = self.free + own
        ended = self._taken_in - waiting - (self.size - free)
        self.ahead = min(self._pace.ahead(ended, now), self._most_ahead)
        self._pace.mark(ended, now)
        return max(free + self.ahead - waiting - self._asked, 0)

    def ask(self, number: int) -> None:
        """Note that a claim is under way for so many; negative: that it has ended."""
        with self._lock:
            self._asked += number

    def take_in(self, claimed: Mapping[RunIn, Sequence[JobRow]], own: Bay | None = None) -> None:
        """Let claimed jobs wait, and begin those for which slots are free.

        Args:
            claimed: The jobs, by runner.
            own: The bay of the hand that asks, which will itself begin one.
        """
        with self._lock:
            if self.idle:
                self.idle = False
                self._pace.restart(self._taken_in, uptime())  # that nothing came says nothing of the pace
            for kind, rows in claimed.items():
                self.bays[kind].ready.extend(rows)
                self._taken_in += len(rows)
            self._begin(own)

    def _begin(self, own: Bay | None = None) -> None:
        """Engage hands while slots are free and jobs wait; runners take turns. The lock is held."""
        order = self._all[self._first :] + self._all[: self._first]
        counts = {bay: len(bay.ready) - (bay is own) for bay in order if bay.ready}
        while self.free and any(count > 0 for count in counts.values()):
            most = self.free if len(counts) == 1 else 1
            for bay, count in counts.items():
                single = len(counts) == 1 and bay.crew.one_by_one
                number = min(count, 1 if single else most, self.free)
                if number > 0:
                    self.free -= number
                    bay.crew.engage(bay, number)
                    counts[bay] = 0 if single else count - number
        self.crowded = len(counts) > 1 and not self.free
        self._first = (self._first + 1) % len(self._all)

    def call_next(self, bay: Bay) -> None:
        """Engage one more hand of a crew whose hands come one by one; asked by one that has begun."""
        with self._lock:
            if self.free and bay.ready:
                self.free -= 1
                bay.crew.engage(bay, 1)

    def scout(self) -> bool:
        """Where nothing runs or waits, let an idle hand begin, to look for jobs by itself; False where none can."""
        with self._lock:
            if self.free == self.size and not self.waiting:
                for bay in self._all:
                    if bay.idle and bay.crew.one_by_one:
                        self.free -= 1
                        bay.crew.engage(bay, 1)
                        return True
        return False

    def leave(self, bay: Bay, hand: object = None, *, yields: bool = False) -> bool:
        """Give a slot back; False where jobs have come meanwhile, and the hand keeps its slot.

        Args:
            bay: The hand's.
            hand: It, where its crew finds idle hands in the bay.
            yields: It gives way to other runners, though jobs wait in its own bay.
        """
        with self._lock:
            if bay.ready and not yields:
                return False
            if hand is not None:
                bay.idle.append(hand)
            self._free_one()
            return True

    def replace(self) -> None:
        """Give back the slot of a hand that is left to itself."""
        with self._lock:
            self._free_one()

    def _free_one(self) -> None:
        self.free += 1
        self._begin()
        if self.on_free is not None:
            self.on_free()

    def remove(self, before: int | None = None) -> list[JobRow]:
        """Take out the jobs that wait: all, or those claimed before a time of the store's."""
        removed: list[JobRow] = []
        with self._lock:
            for bay in self._all:
                while bay.ready:
                    try:
                        row = bay.ready.popleft()
                    except IndexError:  # a hand was quicker
                        break
                    if before is not None and (row.started or 0) >= before:
                        bay.ready.appendleft(row)
                        break
                    removed.append(row)
            self._taken_in -= len(removed)
            if removed and before is not None:  # the pace was not what it was: measure anew before claiming ahead again
                waiting = self.waiting
                self._pace.restart(self._taken_in - waiting - (self.size - self.free), uptime())
        return removed
