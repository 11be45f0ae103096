"""The claim loop's own thread. Owns when a worker looks for jobs that no hand asks for, and when a burst is over.

It sleeps until a hint of the store, the time at which the next job falls due or a rate has room for one, or a poll a
second later, which finds what hints have missed. While no hints come from other processes it polls four times as often,
by the claim alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Event, Thread

from millrace.worker.floor import Floor
from millrace.worker.outage import UNUSABLE
from millrace.worker.relief import Relief
from millrace.worker.steps import LINGER, Steps
from millrace.worker.telling import LOGGER
from millrace.worker.uptime import uptime

__all__ = ["Claimer"]

_POLL, _POLL_UNHINTED = 1.0, 0.25  # seconds, give or take a fifth


class Claimer:
    """The thread that leads the steps which no hand does.

    Args:
        floor: What the worker's rooms share.
        steps: The worker's.
        hinted: Tells whether hints of other processes come.
        on_empty: Called each time nothing is due and nothing runs.
    """

    def __init__(self, floor: Floor, steps: Steps, hinted: Callable[[], bool], on_empty: Callable[[], None]) -> None:
        self.quiet = Event()  #: set whenever nothing runs, waits or is to be written while no jobs are claimed
        self._floor = floor
        self._steps = steps
        self._hinted = hinted
        self._on_empty = on_empty
        self._closing = False
        self._next_poll = self._next_due_look = 0.0
        self._thread = Thread(target=self._run, name="millrace-claimer", daemon=True)
        self._relief = Relief(steps) if floor.store.parallel_steps > 1 else None

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()
        if self._relief is not None:
            self._relief.start()

    def close(self) -> None:
        """End the thread; what is to be written must have been."""
        self._closing = True
        self._steps.bell.ring()
        self._thread.join()
        if self._relief is not None:
            self._relief.close()

    def _run(self) -> None:
        while not self._closing:
            try:
                nap = self._turn()
            except Exception:  # noqa: BLE001 - a fault must not end the thread: it is told, and tried again
                LOGGER.exception("the claim loop failed; it goes on in a second")
                nap = _POLL
            self._steps.bell.wait(nap)

    def _turn(self) -> float:
        """Do what there is to do; return the seconds until the next look."""
        steps, floor = self._steps, self._floor
        now = uptime()
        if now >= self._next_poll or self._due(now) or self._room(now):
            self._poll(now)
        if not steps.permits:  # who does the step sees to what there is at its end; look again, should that go wrong
            return LINGER
        if steps.near:
            if floor.done and now - steps.ended_at < LINGER and not steps.needed():
                return LINGER
            steps.near = False
        if floor.done or steps.needed():
            steps.lead()
        if steps.alone is not None and steps.turn_alone():
            return 0.0
        self._look_around()
        return self._nap()

    def _poll(self, now: float) -> None:
        """Have jobs claimed, should there be any; once a second also learn anew when the next one falls due."""
        steps = self._steps
        self._next_poll = now + (_POLL if self._hinted() else _POLL_UNHINTED) * random.uniform(0.8, 1.2)
        steps.more = True
        if now >= self._next_due_look:
            self._next_due_look = now + _POLL * 0.8
            steps.due_known = False

    def _due(self, now: float) -> bool:
        due = self._steps.due_at
        if due is None or int(now * 1e6) + self._floor.skew < due:
            return False
        self._steps.due_at = None
        self._steps.due_known = False
        return True

    def _room(self, now: float) -> bool:
        room = self._steps.room_at
        if room is None or int(now * 1e6) + self._floor.skew < room:
            return False
        self._steps.room_at = None
        return True

    def _look_around(self) -> None:
        """Say when nothing is left: to a burst, to who waits for a stop."""
        steps = self._steps
        if not steps.quiet:
            return
        if not steps.accepting:
            self.quiet.set()
        elif not (steps.more or steps.room_at or steps.alone or self._floor.outage.open or self._floor.unsure):
            self._on_empty()

    def _nap(self) -> float:
        steps, floor = self._steps, self._floor
        now = uptime()
        if floor.outage.open:
            return max(floor.outage.next_try - now, 0.001)
        if steps.near:
            return LINGER
        nap = self._next_poll - now
        if not steps.more and steps.accepting:
            for due in (self._next_due(), steps.room_at):
                if due is not None:
                    nap = min(nap, (due - floor.store_time()) / 1e6)
        return max(nap, 0.0)

    def _next_due(self) -> int | None:
        """Return when the next job falls due; read again only after a hint, a poll, or when that time has come."""
        steps = self._steps
        if not steps.due_known:
            steps.due_known = True  # before reading: a hint that comes meanwhile asks for another look
            try:
                steps.due_at = self._floor.store.next_due()
            except UNUSABLE as error:
                self._floor.outage.hit(error)
        return steps.due_at
