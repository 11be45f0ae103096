"""The claim floor: where a claim begins to look once the front of the index is full of what cannot be claimed.

A snapshot that somebody holds open for long keeps the entries of all jobs claimed since in the index, dead, and each
claim would walk over them; so it would over a long run of jobs whose task this worker does not know. Then claims begin
at the due time of the last job claimed, by queue and priority. What is due earlier but came later (a late commit, a
retry, a release) is found by claims that begin before the floor: a quarter of a second, four seconds, a minute, and at
the front. Each of these is made no sooner than twenty times what its like took last, so that it takes 5 % of the time
at most, and how long a job waits goes with how late it came. While claims are fast nothing of this is in use, and the
order is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from millrace.messages import ClaimRequest
from millrace.stores.postgres.arrays import Bigints, Strings
from millrace.stores.postgres.pace import Pace
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.sweep import DEAD

__all__ = ["EVIDENCE", "QUEUE", "Depth", "Floor"]

# How many dead rows the table has by the server's own statistics, and how many of the first jobs of a queue are of
# tasks not asked for: job_ready (queue=), in the order of the claim.
EVIDENCE: Final = f"""select ({DEAD}),
 (select count(*) from (select task from {{s}}.job where state = 1 and queue = %(queue)b
   order by priority desc, due, id limit %(front)b) f
  where %(tasks)b::text[] is not null and not task = any(%(tasks)b::text[]))"""

_SLOW, _SLOW_EACH = 0.006, 0.00003  # seconds: what a claim may take on the server, and for each job
_MANY_DEAD = 20_000
_FRONT, _MOST_OF_IT = 5_000, 4_000
_SECOND = 1.0
_BACKS = (60_000_000, 4_000_000, 250_000)  # microseconds before the floor

_MOST_PLACES = 200
# Of the rows that `claim` reads.
_TOOK, QUEUE = 22, 3

Place = tuple[str, int]  #: queue and priority


class Depth(Pace):
    """Where some claims begin, and when the next of them may.

    Args:
        back: So many microseconds before the floor; None is the front.
        least: Seconds between two, at least.
    """

    def __init__(self, back: int | None, least: float = 0.0) -> None:
        super().__init__(least)
        self.back = back


class Floor:
    """The floors of one store.

    Args:
        clock: Gives seconds that never step back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._dues: dict[Place, int] = {}  #: the due time of the last job claimed
        self._suspect: tuple[str, Sequence[str] | None] | None = None  # a queue in which a full claim was slow
        self._front = Depth(None, _SECOND)
        self._depths = (self._front, *map(Depth, _BACKS))  # the deepest first
        self._at_floor = Depth(0)
        self._next_look = 0.0
        self.on = False

    @property
    def holds(self) -> bool:
        """Whether a claim now begins at a floor or not far before it, if there is one for its queue."""
        return self.on and self._clock() < self._front.next

    def places(self, queues: Sequence[str] | None) -> tuple[dict[str, Any], Depth] | None:
        """Return the arguments of a claim from the floors on and how deep it is, None where it must be a full one."""
        if not self.on:
            return None
        now = self._clock()
        depth = next((each for each in self._depths if now >= each.next), self._at_floor)
        depth.begin(now)
        if depth.back is None:
            return None
        chosen = sorted(
            (name, -priority, due) for (name, priority), due in self._dues.items() if queues is None or name in queues
        )
        if not chosen:
            return None
        args = {
            "names": Strings([name for name, _, _ in chosen]),
            "priorities": Bigints([-lower for _, lower, _ in chosen]),
            "floors": Bigints([due - depth.back for _, _, due in chosen]),
        }
        return args, depth

    def note(self, request: ClaimRequest, rows: Sequence[Any], depth: Depth | None, seconds: float) -> None:
        """Learn from a claim: where it ended, whether it was slow, and when the next of its depth may come.

        Args:
            request: What was asked for.
            rows: As the claim has told them.
            depth: Where it began; None is the front.
            seconds: What it took, all in all; rows tell it better.
        """
        full = depth is None
        (depth or self._front).took(rows[0][_TOOK] if rows else seconds, self._clock())
        if not rows:
            return
        if full:
            if rows[0][_TOOK] <= _SLOW + _SLOW_EACH * len(rows):
                if self.on or self._dues:
                    self.on = False
                    self._dues.clear()
                return
            if not self.on and self._suspect is None and self._clock() >= self._next_look:
                self._suspect = rows[0][QUEUE], None if request.tasks is None else sorted(request.tasks)
        dues = self._dues
        for row in rows:
            place = row[QUEUE], -row[0]
            if dues.get(place, row[1]) <= row[1]:
                dues[place] = row[1]
        if len(dues) > _MOST_PLACES:  # so many looks cost what they save
            self.on = False
            dues.clear()

    def look(self, session: Session) -> None:
        """See whether a slow claim was slow for what a floor helps against, where one was seen."""
        if self._suspect is None:
            return
        (queue, tasks), self._suspect = self._suspect, None
        self._next_look = self._clock() + _SECOND
        args = {"queue": queue, "tasks": None if tasks is None else Strings(tasks), "front": _FRONT}
        ((dead, unknown),) = session.rows(EVIDENCE, args)
        self.on = (dead or 0) >= _MANY_DEAD or unknown >= _MOST_OF_IT
