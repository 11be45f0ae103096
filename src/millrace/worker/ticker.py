"""Firing the ticks that are due. Owns what is written of each schedule; when to look is for `maintenance` to say.

It needs no leader: of two workers that find a tick due, the second one writes nothing. Where many are due at once a
lock keeps the others from working them out too; it is a courtesy, and nothing hangs on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from millrace.clock import SECOND
from millrace.errors import ScheduleError
from millrace.eventmaker import enqueued_row
from millrace.hooks import Hooks
from millrace.ids import new_worker_id
from millrace.schedule import Spec, read_spec
from millrace.scheduling import Firing, ScheduleRow, Scheduling
from millrace.states import LIVE
from millrace.store import Store
from millrace.ticking import Due, tick_id
from millrace.worker.news import Tell
from millrace.worker.telling import LOGGER

__all__ = ["Ticker"]

_LOCK = "ticks"
_CHUNK = 500
_MANY = 100  # so many due at once are fired by one worker, as all others would work them out in vain
_TURN = SECOND  # microseconds that one that has died keeps the others from it


class Ticker:
    """Fires the schedules of a store.

    Args:
        store: Where they are; one that keeps none never ticks.
        hooks: The app's, whose middleware sees each job.
        tell: Tells listeners what has happened.

    >>> from millrace.stores import MemoryStore
    >>> Ticker(MemoryStore()).round() is None
    True
    """

    def __init__(self, store: Store, hooks: Hooks | None = None, tell: Tell | None = None) -> None:
        self._store = store
        self._hooks = hooks or Hooks()
        self._announce: Tell = tell or self._hooks.tell
        given: object = store
        self._book = given if isinstance(given, Scheduling) else None
        self._holder = new_worker_id()
        self._told: set[tuple[str, int]] = set()  # schedules that cannot be read, each in its wording

    def round(self) -> int | None:
        """Fire all that is due; return when the next tick comes, by the store's time, None where that is not known.

        Where there are no schedules, as a rule, it is one read. What cannot be read stays due: then none is known.
        """
        book = self._book
        if book is None:
            return None
        while (next := book.next_tick()) is not None and next <= (now := self._store.now()):
            rows = book.due_schedules(limit=_CHUNK, now=now)
            if len(rows) < _MANY:
                fired = self._fire(book, rows, now)
            elif self._store.acquire(_LOCK, self._holder, _TURN, now=now):
                try:
                    fired = self._fire(book, rows, now)
                finally:
                    self._store.release(_LOCK, self._holder)
            else:
                return next  # whoever has the lock fires them; a look soon sees to what is left
            if not fired:
                return None
        return next

    def _fire(self, book: Scheduling, rows: Sequence[ScheduleRow], now: int) -> bool:
        """Fire schedules; False where none of them can be read. What another one has fired meanwhile is not due."""
        firings = self._firings(rows, now)
        if firings:
            fired = book.fire(firings, now=now)
            if self._hooks.hears_enqueues:
                self._tell(firings, fired, now)
        return bool(firings)

    def _tell(self, firings: Sequence[Firing], fired: Sequence[bool], now: int) -> None:
        self._announce(
            [
                enqueued_row(row, now)
                for firing, written in zip(firings, fired, strict=True)
                if written
                for row in firing.jobs
            ]
        )

    def _firings(self, rows: Sequence[ScheduleRow], now: int) -> list[Firing]:
        due: list[tuple[ScheduleRow, Spec, Due]] = []
        for row in rows:
            spec = self._read(row)
            if spec is not None:
                due.append((row, spec, spec.rule.due(row.watermark, now)))
        busy = self._busy([(row, spec) for row, spec, _ in due])
        firings = (self._firing(row, spec, each, busy=row.name in busy) for row, spec, each in due)
        return [seen for firing in firings if (seen := self._seen(firing)) is not None]

    def _firing(self, row: ScheduleRow, spec: Spec, due: Due, *, busy: bool) -> Firing:
        ticks = due.ticks
        if spec.overlap == "skip":
            ticks = () if busy else ticks[-1:]  # of several at once all but one would overlap
        after = replace(row, watermark=due.watermark, next=due.next, last=ticks[-1] if ticks else row.last)
        return Firing(after, ticks, tuple(spec.job(row.name, tick) for tick in ticks))

    def _seen(self, firing: Firing) -> Firing | None:
        """Let middleware see the jobs of a schedule; where it raises, the ticks stay due, and the others tick on."""
        change = self._hooks.change_row
        if change is None or not firing.jobs:
            return firing
        try:
            return replace(firing, jobs=tuple(map(change, firing.jobs)))
        except Exception:  # noqa: BLE001 - it is the user's code
            if (firing.row.name, firing.row.rev) not in self._told:
                self._told.add((firing.row.name, firing.row.rev))
                LOGGER.exception(
                    "schedule %r waits: before_enqueue refuses its job; it is tried again", firing.row.name
                )
            return None

    def _busy(self, schedules: Sequence[tuple[ScheduleRow, Spec]]) -> set[str]:
        """Name the schedules that may not overlap, and whose last job has not ended."""
        asked = {
            tick_id(row.name, row.last): row.name
            for row, spec in schedules
            if spec.overlap == "skip" and row.last is not None
        }
        jobs = self._store.get(list(asked)) if asked else []
        return {asked[job.id] for job in jobs if job is not None and job.state in LIVE}

    def _read(self, row: ScheduleRow) -> Spec | None:
        try:
            return read_spec(row.name, row.spec)
        except ScheduleError as error:  # the others tick on
            if (row.name, row.rev) not in self._told:
                self._told.add((row.name, row.rev))
                LOGGER.error("it does not tick: %s", error)
            return None
