"""Many jobs followed together: of a queue, or all. Owns which of them are looked at, so that each look is bounded.

A look reads the jobs that are new, those that run, and of those known before the ones that may have changed: which ran
at the last look, whose time has come, and in each lane those that are next in turn, as far as they have moved; of the
rest some, in turn, because anybody may cancel anything. How many are told with their attempts and logs is bounded too.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from millrace.events import JobEvent
from millrace.job import JobRow
from millrace.messages import JobFilter
from millrace.records import AttemptRow, LogRow
from millrace.states import ACTIVE, FINAL, LIVE, WAITING, JobState
from millrace.store import MAX_PAGE, Store
from millrace.trail import Trail

__all__ = ["MOST_FOLLOWED", "Crowd"]

MOST_FOLLOWED = 10_000  #: live jobs that are followed; of more, those that are new or run
_NEW_PAGES = 5  # pages of new jobs in one look
_FIRST_PAGE = 100
_HEADS = 32  # jobs of a lane that are looked at first
_SOME = 100  # others that are looked at in turn
_CLOSE = 50  # reads of attempts and logs in one look
_HORIZON = 5_000_000  # microseconds by which a job may come later than others that were enqueued after it

_Place = tuple[int, int, bytes]  # in a lane: by priority, due time, id


class Crowd:
    """The jobs of one queue, or of all.

    Args:
        store: Where they are.
        queue: Of which queue; None: of all.

    >>> from millrace.stores import MemoryStore
    >>> Crowd(MemoryStore(), None).look()
    []
    """

    def __init__(self, store: Store, queue: str | None) -> None:
        self._store = store
        self._queue = queue
        self._trails: dict[bytes, Trail] = {}
        self._seen: dict[bytes, int] = {}  # jobs younger than the horizon, by when they were created
        self._lanes: dict[tuple[str, str], list[_Place]] = {}
        self._turn: deque[bytes] = deque()
        self._running: set[bytes] = set()
        self._closely = 0  # how many reads of attempts and logs are left to this look
        self._newest = self._since = store.now()
        for row in self._read_live():
            self._follow(row, Trail(row))
        self._note_seen(store.page(JobFilter(queue=queue), limit=MAX_PAGE)[0])

    @property
    def busy(self) -> bool:
        """Whether any of its jobs runs."""
        return bool(self._running)

    def look(self) -> list[JobEvent]:
        """Read what may have changed; return what has happened."""
        now = self._store.now()
        changed: dict[bytes, tuple[Trail, JobRow | None]] = {}
        for row in self._new_ones():
            changed[row.id] = self._follow(row, Trail()), row
        active, _ = self._store.page(JobFilter(states=ACTIVE, queue=self._queue), limit=MAX_PAGE)
        for row in active:
            trail = self._trails.get(row.id) or self._met_running(row)
            changed[row.id] = trail, row
        suspects = [*(self._running - changed.keys()), *self._due(now), *self._some()]
        for id, found in self._read(id for id in dict.fromkeys(suspects) if id not in changed):
            changed[id] = self._trails[id], found
        for id, found in list(self._heads(changed)):
            changed[id] = self._trails[id], found
        self._closely = _CLOSE
        events = [event for trail, row in changed.values() for event in self._told(trail, row, now)]
        self._running = {row.id for row in active if row.id in self._trails}  # some may have ended in between
        return events

    # -- what to look at

    def _read_live(self) -> Iterator[JobRow]:
        cursor: str | None = None
        for _ in range(MOST_FOLLOWED // MAX_PAGE):
            rows, cursor = self._store.page(JobFilter(states=LIVE, queue=self._queue), limit=MAX_PAGE, cursor=cursor)
            yield from rows
            if cursor is None:
                return

    def _new_ones(self) -> list[JobRow]:
        """Return the jobs that were enqueued since the last look, oldest first."""
        found: list[JobRow] = []
        horizon = self._newest - _HORIZON
        cursor: str | None = None
        for number in range(_NEW_PAGES):
            limit = MAX_PAGE if number else _FIRST_PAGE
            rows, cursor = self._store.page(JobFilter(queue=self._queue), limit=limit, cursor=cursor)
            fresh = [row for row in rows if row.id not in self._seen and row.created >= horizon]
            found += fresh
            if cursor is None or len(fresh) < len(rows) // 2:
                break
        self._note_seen(found)
        return [row for row in reversed(found) if row.id not in self._trails]

    def _note_seen(self, rows: Iterable[JobRow]) -> None:
        for row in rows:
            self._seen[row.id] = row.created
            self._newest = max(self._newest, row.created)
        horizon = self._newest - _HORIZON
        if len(self._seen) > 4 * MAX_PAGE:
            self._seen = {id: created for id, created in self._seen.items() if created >= horizon}

    def _met_running(self, row: JobRow) -> Trail:
        """Follow a job that is first met while it runs: it came after the new ones were read, or was not followed."""
        is_new = row.id not in self._seen and row.created > self._since
        self._note_seen([row])  # or the next look would take it for a new one once more
        return self._follow(row, Trail() if is_new else Trail(_unbegun(row)))

    def _follow(self, row: JobRow, trail: Trail) -> Trail:
        if len(self._trails) < MOST_FOLLOWED or row.state is not JobState.PENDING:
            self._trails[row.id] = trail
            self._turn.append(row.id)
            if trail.row is not None:
                self._enter_lane(trail.row)
        return trail

    def _enter_lane(self, row: JobRow) -> None:
        if row.state is JobState.PENDING:
            place = -row.priority, row.due or 0, row.id
            heapq.heappush(self._lanes.setdefault((row.queue, row.task), []), place)

    def _due(self, now: int) -> list[bytes]:
        waiting = (trail.row for trail in self._trails.values())
        return [row.id for row in waiting if row is not None and row.state in WAITING and (row.due or now + 1) <= now][
            :MAX_PAGE
        ]

    def _some(self) -> list[bytes]:
        some: list[bytes] = []
        for _ in range(min(_SOME, len(self._turn))):
            id = self._turn.popleft()
            if id in self._trails:
                self._turn.append(id)
                some.append(id)
        return some

    def _heads(self, changed: Mapping[bytes, tuple[Trail, JobRow | None]]) -> Iterator[tuple[bytes, JobRow | None]]:
        """Read those that are next in each lane, and more where most of them have moved."""
        for lane, places in list(self._lanes.items()):
            number, kept = _HEADS, list[_Place]()
            while places and len(kept) <= number // 2:
                heads = [heapq.heappop(places) for _ in range(min(number, len(places)))]
                still = {place[2]: place for place in heads if self._is_pending(place)}
                rows = {id: changed[id][1] for id in still if id in changed}
                rows.update(self._read(id for id in still if id not in changed))
                for id, row in rows.items():
                    if row == self._trails[id].row:
                        kept.append(still[id])
                    elif id not in changed:
                        yield id, row
                number = min(2 * number, MAX_PAGE)
            for place in kept:
                heapq.heappush(places, place)
            if not places:
                self._lanes.pop(lane, None)

    def _is_pending(self, place: _Place) -> bool:
        trail = self._trails.get(place[2])
        return trail is not None and trail.row is not None and trail.row.state is JobState.PENDING

    def _read(self, ids: Iterable[bytes]) -> Iterator[tuple[bytes, JobRow | None]]:
        asked = list(ids)
        for first in range(0, len(asked), MAX_PAGE):
            some = asked[first : first + MAX_PAGE]
            yield from zip(some, self._store.get(some), strict=True)

    # -- what to tell

    def _told(self, trail: Trail, row: JobRow | None, now: int) -> list[JobEvent]:
        before = trail.row
        if row is None:
            if before is not None:
                self._trails.pop(before.id, None)
            return trail.gone(now)
        if row == before and row.state not in ACTIVE:
            return []
        attempts, lines = self._close_look(row, before)
        events = trail.take(row, now, attempts, lines)
        if row.state in FINAL:
            self._trails.pop(row.id, None)
        elif row.id in self._trails and (before is None or _place(row) != _place(before)):
            self._enter_lane(row)
        return events

    def _close_look(
        self, row: JobRow, before: JobRow | None
    ) -> tuple[Sequence[AttemptRow] | None, Sequence[LogRow] | None]:
        """Read attempts and log of a job of which an attempt runs or has ended, while there are few of them."""
        claim = 0 if before is None else before.claim - (before.state in ACTIVE)
        if row.claim <= claim or self._closely <= 0:
            return None, None
        attempts = None
        if row.state not in ACTIVE and (row.state is not JobState.COMPLETED or row.claim > claim + 1):
            self._closely -= 1
            attempts = self._store.attempts(row.id)
        self._closely -= 1
        return attempts, self._store.logs(row.id)


def _place(row: JobRow) -> tuple[JobState, int, int | None]:
    return row.state, row.priority, row.due


def _unbegun(row: JobRow) -> JobRow:
    """Return a running job as it must have stood before it was claimed."""
    return replace(row, state=JobState.PENDING, claim=row.claim - 1, worker=None, progress=None)
