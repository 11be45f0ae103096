"""The runner of sync handlers: threads that take jobs from their bay. Owns the threads and the way of a job in one.

This is the hot path: between two jobs a hand takes no lock, makes no event and looks at the clock once.
"""

from __future__ import annotations

import math
from contextvars import copy_context
from os import _exit, getpid
from threading import Lock, Thread

from millrace.context import CURRENT
from millrace.outcome import Outcome
from millrace.worker.attempt import Attempt
from millrace.worker.bell import Bell
from millrace.worker.floor import Floor
from millrace.worker.lane import Bay
from millrace.worker.settle import raised, returned
from millrace.worker.telling import LOGGER
from millrace.worker.uptime import uptime

__all__ = ["Hand", "ThreadCrew", "call_handler"]

TURN_SECONDS = 0.002  #: how long a hand keeps its slot while jobs of another runner wait for one


def call_handler(attempt: Attempt) -> Outcome | None:
    """Decode the arguments, call the handler in a context of its own, and settle how it ended."""
    row, plan = attempt.row, attempt.plan
    try:
        args, kwargs = plan.decode(row.args)
        if plan.takes_context:
            args = (attempt.context, *args)
        value = copy_context().run(plan.function, *args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like have failed an attempt, and no more
        return raised(attempt, error)
    if value is None and attempt.side is None and not attempt.floor.talks:
        return Outcome.completed(row, None, retention=plan.retention)
    return returned(attempt, value)


class Hand:
    """One thread and the slot that it holds while it works."""

    waits = True
    patience = math.inf

    def __init__(self, bay: Bay, floor: Floor, name: str) -> None:
        self.bell = Bell()
        self.closing = False
        self.bay = bay
        self.floor = floor
        self.replaced = False
        self.thread = Thread(target=self._run, name=name, daemon=True)

    # -- millrace.worker.attempt.Seat

    def stop(self, _: Attempt, /) -> None:
        """Do nothing: a thread is told by its flag, which its handler may look at."""

    def give_up(self, _: Attempt, /) -> bool:
        """Tell that a thread may be left to itself."""
        return True

    def replace(self, _: Attempt, /) -> None:
        """Give the slot back; this thread ends with its handler."""
        self.replaced = True
        self.bay.lane.replace()

    def close(self) -> None:
        """Let the thread end once it has nothing to do."""
        self.closing = True
        self.bell.ring()

    # -- the thread

    def perform(self, attempt: Attempt) -> Outcome | None:
        """Run one attempt to its end."""
        return call_handler(attempt)

    def farewell(self) -> None:
        """Give back what the thread holds, at its end."""

    def _run(self) -> None:
        try:
            while not self.closing and self._work():
                CURRENT.set(None)
                self.bell.wait(-1)
        except BaseException:  # noqa: BLE001 - the slot must not be lost with the thread
            LOGGER.exception("a thread that runs jobs failed and is replaced")
            self._drop()
        finally:
            self.farewell()

    def _work(self) -> bool:  # noqa: C901 - in one piece: each call more is paid for by every job
        """Run jobs while there are any; False where the thread has been replaced meanwhile."""
        bay, floor, steps, perform = self.bay, self.floor, self.floor.steps, self.perform
        lane, ready, running, done, begin = bay.lane, bay.ready, floor.running, floor.done, floor.begin
        since = uptime()
        called = False
        while True:
            try:
                row = ready.popleft()
            except IndexError:
                steps.lead(bay)
                if not ready and lane.leave(bay, self):
                    return True
                continue
            if not called and ready and lane.free:
                called = True
                lane.call_next(bay)
            attempt = begin(row, self)
            if attempt is None:
                continue
            CURRENT.set(attempt)
            outcome = perform(attempt)
            if getpid() != floor.pid:
                _exit(0)  # the handler forked, and its other half has come to its end here: it is no worker
            try:
                running.remove(attempt)
            except KeyError:  # it was given up: another hand has the slot, another outcome stands
                return False
            if outcome is not None:
                done.append(outcome)
            if steps.permits:  # else a step goes on, and whoever does it will see to this outcome
                if len(ready) <= lane.low:
                    steps.lead(bay)
                elif not steps.near:
                    steps.linger()
            if lane.crowded and uptime() - since > TURN_SECONDS and lane.leave(bay, self, yields=True):
                return True

    def _drop(self) -> None:
        """Drop what this thread was running, so that its lease can pass, and let another hand have the slot."""
        for attempt in self.floor.running.copy():
            if attempt.seat == self:
                self.floor.running.discard(attempt)
        if not self.replaced:
            self.bay.lane.replace()


class ThreadCrew:
    """The threads of one worker: as many as its slots at most, started when they are first needed.

    Args:
        floor: What the worker's rooms share.
        make: Makes a hand.
        name: Of its threads.
    """

    one_by_one = True

    def __init__(self, floor: Floor, *, make: type[Hand] = Hand, name: str = "millrace-thread") -> None:
        self._floor = floor
        self._make = make
        self._name = name
        self._made = 0
        self._lock = Lock()
        self._hands: list[Hand] = []

    def engage(self, bay: Bay, count: int) -> None:
        """Wake idle hands, and add threads where there are too few."""
        for _ in range(count):
            if bay.idle:
                bay.idle.pop().bell.ring()
            else:
                self._add(bay)

    def _add(self, bay: Bay) -> None:
        with self._lock:
            self._made += 1
            hand = self._make(bay, self._floor, f"{self._name}-{self._made}")
            hand.thread.start()
            self._hands = [each for each in self._hands if each.thread.is_alive()]  # those replaced have ended
            self._hands.append(hand)

    def close(self, patience: float) -> None:
        """End the threads, within `patience` seconds; those whose handler was given up are left to themselves."""
        until = uptime() + patience
        for hand in self._hands:
            hand.close()
        for hand in self._hands:
            if not hand.replaced:
                hand.thread.join(max(until - uptime(), 0.0))
