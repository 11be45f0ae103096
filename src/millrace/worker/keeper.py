"""The thread that keeps attempts alive and stops them. Owns leases, cancels, timeouts, and giving up on the deaf.

It is a thread of its own so that a handler which blocks the event loop cannot lose its lease. It looks once a second,
or as often as the shortest lease and the nearest deadline need. A lease is extended when a third of it has passed, so
short jobs cost nothing. After the process stood still, suspended or stopped, it is the first to look at what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from threading import Lock, Thread

from millrace.messages import Beat
from millrace.states import JobState
from millrace.worker.attempt import Attempt, Told
from millrace.worker.bell import Bell
from millrace.worker.floor import Floor
from millrace.worker.outage import UNUSABLE
from millrace.worker.settle import abandoned
from millrace.worker.telling import LOGGER, fields
from millrace.worker.uptime import uptime

__all__ = ["Keeper"]

_LOOK = 0.8  # seconds between two looks, at most: a cancel is noticed within one
_DEAF = 0.1  # seconds between two looks for cancels that hints ask for
_CHUNK = 1000


class Keeper:
    """See the module.

    Args:
        floor: What the worker's rooms share.
        give_back: Gives back the jobs that were claimed before a time of the store's and have not begun; returns when
            the oldest of those that are left was claimed.
    """

    def __init__(self, floor: Floor, give_back: Callable[[int], int | None]) -> None:
        self._floor = floor
        self._give_back = give_back
        self._bell = Bell()
        self._lock = Lock()
        self.wakes_at = math.inf  #: when it looks next, by `uptime`; whoever needs it sooner calls
        self._called_at = math.inf
        self._hinted = False
        self._recalls_at = 0.0  # before that, no hint makes it look for cancels
        self._closing = False
        self._thread = Thread(target=self._run, name="millrace-keeper", daemon=True)
        floor.keeper = self

    @property
    def interval(self) -> float:
        """Seconds between two looks at most; less for short leases."""
        return min(_LOOK, self._floor.plans.shortest_lease / 6)

    def start(self) -> None:
        """Begin to look. Jobs may begin after this."""
        self._floor.fresh_until = uptime() + self._fresh
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._bell.ring()
        self._thread.join()

    def call(self, at: float) -> None:
        """Have it look at a time, by `uptime`, if it would not anyway."""
        if at >= self.wakes_at:
            return
        with self._lock:
            self._called_at = min(self._called_at, at)
        self._bell.ring()

    def hinted(self) -> None:
        """Take a hint of the store that something has changed: it may be a cancel."""
        if not self._hinted and self._floor.running:
            self._hinted = True
            self.call(max(self._recalls_at, uptime()))

    # -- the thread

    def _run(self) -> None:
        next_look = uptime()
        while not self._closing:
            now = uptime()
            with self._lock:
                self.wakes_at = at = min(next_look, self._called_at)
                if at <= now:
                    self.wakes_at = self._called_at = math.inf
            if at > now:
                self._bell.wait(at - now)
                continue
            try:
                next_look = now + self.look(now)
            except Exception:  # noqa: BLE001 - a fault must not end the thread: it is told, and tried again
                LOGGER.exception("looking after the running jobs failed; it is tried again")
                next_look = now + self.interval

    def look(self, now: float) -> float:
        """Look after all attempts once; return the seconds until the next look."""
        floor = self._floor
        if now > floor.fresh_until and not floor.unsure and not floor.outage.open:
            LOGGER.info("this process stood still for a while; leases are looked at before anything begins")
        attempts = self._attempts()
        nearest = self._extend(attempts, floor.store_time())
        if attempts or floor.recalled or self._hinted:
            self._look_for_cancels(now)
        nearest = min(nearest, self._stop_late(attempts, now))
        if floor.notes.pending:
            floor.notes.flush()
        patience = int(self._patience * 1e6)
        oldest = self._give_back(floor.store_time() - patience)
        if oldest is not None:
            nearest = min(nearest, (oldest + patience + 1 - floor.skew) / 1e6)
        if not floor.unsure:
            floor.fresh_until = uptime() + self._fresh
        return min(max(nearest - uptime(), 0.0), self.interval)

    @property
    def _patience(self) -> float:
        """Seconds after which a job claimed ahead is given back."""
        return min(1.0, self._floor.plans.shortest_lease / 4)

    @property
    def _fresh(self) -> float:
        """Seconds after a look for which no lease of a job that waits can have passed."""
        return min(10.0, self._floor.plans.shortest_lease / 2)

    def _attempts(self) -> list[Attempt]:
        held = self._floor.held
        running = self._floor.running.copy()
        return [*running] if held is None else [*running, held]

    # -- leases

    def _extend(self, attempts: Iterable[Attempt], now: int) -> float:
        """Extend the leases of which a third has passed; return when the next is due."""
        floor = self._floor
        due: list[Attempt] = []
        next_due = math.inf
        for attempt in attempts:
            side = attempt.side
            if side is not None and (side.told is Told.LOST or side.completed):
                continue
            at = (attempt.lease_end or attempt.row.lease or 0) - attempt.plan.lease * 2 // 3
            if at <= now:
                due.append(attempt)
                at = now + attempt.plan.lease // 3
            next_due = min(next_due, (at - floor.skew) / 1e6)
        for first in range(0, len(due), _CHUNK):
            if not self._extend_some(due[first : first + _CHUNK], now):
                return next_due
        if floor.unsure and (due or not floor.outage.open):
            floor.unsure = False
            floor.outage.over()
        return next_due

    def _extend_some(self, due: Sequence[Attempt], now: int) -> bool:
        """Extend these leases; False where the store is out of reach, and nothing more is claimed until it is back."""
        floor = self._floor
        beats = [Beat(each.row.ref, each.row.id, each.row.claim, lease=each.plan.lease) for each in due]
        try:
            states = floor.store.extend(floor.worker, beats)
        except UNUSABLE as error:
            floor.unsure = True
            floor.outage.hit(error)
            return False
        for attempt, state in zip(due, states, strict=True):
            attempt.lease_end = now + attempt.plan.lease
            self._heed(attempt, state)
        floor.notices.extended.tell(len(due))
        return True

    def _heed(self, attempt: Attempt, state: JobState | None) -> None:
        if state is None:
            if attempt in self._floor.running or attempt is self._floor.held:  # else it has ended meanwhile
                attempt.tell(Told.LOST)
        elif state is JobState.CANCELLING:
            attempt.tell(Told.CANCEL)

    # -- cancels

    def _look_for_cancels(self, now: float) -> None:
        """Read which jobs were asked to cancel; those that have not begun are never to begin."""
        floor = self._floor
        self._hinted = False
        self._recalls_at = now + _DEAF
        try:
            asked = dict(floor.store.cancelling(floor.worker))
        except UNUSABLE as error:
            floor.outage.hit(error)
            return
        if not asked:
            floor.recalled = {}
            return
        floor.recalled = asked  # before looking who runs: a job that begins meanwhile looks there after it is running
        for attempt in self._attempts():
            if asked.get(attempt.row.id) == attempt.row.claim:
                attempt.tell(Told.CANCEL)
        running = {(attempt.row.id, attempt.row.claim) for attempt in floor.running.copy()}
        floor.recalled = {id: claim for id, claim in asked.items() if (id, claim) not in running}

    # -- deadlines

    def _stop_late(self, attempts: Iterable[Attempt], now: float) -> float:
        """Tell attempts that are past their timeout, give up those that do not answer; return the next deadline."""
        nearest = math.inf
        for attempt in attempts:
            side, grace = attempt.side, min(self._floor.grace, attempt.seat.patience)
            if side is None or side.told is None:
                if attempt.deadline <= now:
                    attempt.tell(Told.TIMEOUT)
                    nearest = min(nearest, now + grace)
                else:
                    nearest = min(nearest, attempt.deadline)
            elif not side.given_up:
                if side.told_at + grace <= now:
                    self._give_up(attempt)
                else:
                    nearest = min(nearest, side.told_at + grace)
        return nearest

    def _give_up(self, attempt: Attempt) -> None:
        """Settle an attempt that has not answered, and replace its slot; its own outcome will be dropped."""
        floor = self._floor
        attempt.aside.given_up = True
        if attempt not in floor.running or not attempt.seat.give_up(attempt):
            return
        try:
            floor.running.remove(attempt)
        except KeyError:  # it has answered at this very moment
            return
        row = attempt.row
        LOGGER.error("%s did not answer within %.1f s and is left to itself", row.task, floor.grace, extra=fields(row))
        outcome = abandoned(attempt)
        if outcome is not None:
            floor.done.append(outcome)
        floor.tally.abandoned += 1
        attempt.seat.replace(attempt)
        floor.steps.poke()
        floor.notices.abandoned.tell()
