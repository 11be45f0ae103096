"""One time at work, from a start to a stop: all rooms of a worker put together. Owns their order, up and down.

A stop is graceful: nothing more is claimed, what has not begun is given back, what runs may end within the grace, and
what is left then is told to stop and given back. Nothing of one shift reaches the next.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock
from typing import TYPE_CHECKING

from millrace.clock import to_datetime
from millrace.events import WorkerStarted, WorkerStopped
from millrace.ids import worker_name
from millrace.outcome import Outcome
from millrace.store import Subscription
from millrace.worker import capture
from millrace.worker.announcer import Announcer
from millrace.worker.attempt import Attempt, Told
from millrace.worker.children import ChildHand
from millrace.worker.claimer import Claimer
from millrace.worker.floors import make_floor
from millrace.worker.keeper import Keeper
from millrace.worker.lane import Crew, Lane
from millrace.worker.loop import LoopCrew
from millrace.worker.maintenance import Maintenance
from millrace.worker.notice import Notices
from millrace.worker.settings import Settings
from millrace.worker.settle import abandoned
from millrace.worker.steps import Steps
from millrace.worker.summary import Summary
from millrace.worker.telling import LOGGER
from millrace.worker.threads import ThreadCrew
from millrace.worker.uptime import uptime

if TYPE_CHECKING:
    from millrace.registry import RunIn
    from millrace.worker.host import Host

__all__ = ["Shift"]

_LAST_WORD = 1.0  # seconds for attempts that were told that the worker stops
_LAST_WRITE = 5.0  # seconds for the store to take the last outcomes
_SILENT = 35.0  # seconds without a sign of life: it is due every 10
_CLOSING = 2.0  # seconds for threads to end that should have nothing left to do


class Shift:
    """A worker at work.

    Args:
        host: The app.
        settings: The worker's.
        notices: Where it tells what happens.
        on_empty: Called, from a thread of the worker, whenever nothing is due and nothing runs.
    """

    def __init__(self, host: Host, settings: Settings, notices: Notices, on_empty: Callable[[], None]) -> None:
        self.hurried: Callable[[], bool] = lambda: False  #: tells whether the grace is cut short
        self._settings = settings
        self._announcer = Announcer(host.hooks)
        self.floor = floor = make_floor(
            host, notices, tasks=settings.tasks, grace=settings.grace, tell=self._announcer.tell
        )
        floor.slots = settings.concurrency
        self._loop = LoopCrew(floor)
        self._threads = ThreadCrew(floor)
        self._children = ThreadCrew(floor, make=ChildHand, name="millrace-child")
        self._lanes = self._make_lanes()
        self._steps = floor.steps = Steps(floor, self._lanes, settings.queues)
        self._keeper = Keeper(floor, self._steps.give_back_waiting)
        self._claimer = Claimer(floor, self._steps, self._is_hinted, on_empty)
        self._maintenance = Maintenance(floor, self._info, self._subscribe)
        self._watch: Subscription | None = None
        self._ending = Lock()
        self._ended = False

    def _make_lanes(self) -> list[Lane]:
        settings = self._settings
        crews: dict[RunIn, Crew] = {"thread": self._threads, "loop": self._loop, "process": self._children}
        lanes = [
            Lane(size, crews, queue=name, most_ahead=settings.most_ahead) for name, size in settings.reserved.items()
        ]
        rest = settings.concurrency - sum(settings.reserved.values())
        if rest:
            lanes.append(Lane(rest, crews, most_ahead=settings.most_ahead))
        return lanes

    def _info(self) -> dict[str, object]:
        settings = self._settings
        return {
            "queues": None if settings.queues is None else list(settings.queues),
            "tasks": sorted(self.floor.plans.claimable),
            "concurrency": settings.concurrency,
            "reserved": dict(settings.reserved),
            "running": len(self.floor.running),
            "ended": {str(kind): number for kind, number in self.summary.outcomes.items()},
        }

    @property
    def summary(self) -> Summary:
        """What has been done so far."""
        return self.floor.tally.summary()

    def complaints(self) -> list[str]:
        """Say in a sentence each why this worker does not do its work; none where it does."""
        floor = self.floor
        told: list[str] = []
        if not self._steps.accepting:
            told.append("the worker is stopping")
        if floor.outage.open:
            told.append(f"the store cannot be used: {floor.outage.error}")
        if floor.unsure:
            told.append("leases of running jobs could not be extended")
        silent = uptime() - floor.beaten_at
        if silent > _SILENT:
            told.append(f"the worker has not reported itself in the store for {silent:.0f} s")
        return told

    def watch_for_empty(self) -> None:
        """Have `on_empty` called as soon as it is so, not only at the next look."""
        self._steps.watched = True
        self._steps.bell.ring()

    # -- up

    def start(self) -> None:
        """Begin to work.

        Raises:
            MillraceError: The store cannot be used, other than by being out of reach for now.
        """
        try:
            self._maintenance.start()
        except BaseException:
            if self._watch is not None:
                self._watch.close()
            self._announcer.close(_LAST_WORD)
            self.floor.leave()
            raise
        self._tell(WorkerStarted)
        capture.begin()
        self._keeper.start()
        self._steps.watched = self._settings.burst
        self._claimer.start()

    def _subscribe(self) -> None:
        """Ask the store for hints, unless it gives them already."""
        if self._watch is None:
            self._watch = self.floor.store.watch(self._hinted)

    def _is_hinted(self) -> bool:
        return self._watch is not None and self._watch.live

    def _hinted(self) -> None:
        self._steps.hinted()
        self._keeper.hinted()

    # -- down

    def end(self, grace: float) -> bool:
        """Stop, and give back what has not ended within the grace; tell whether all had. Again: wait for the first."""
        with self._ending:
            if self._ended:
                return True
            self._ended = True
            return self._end(grace)

    def _end(self, grace: float) -> bool:
        floor, steps = self.floor, self._steps
        floor.notices.stopping.tell()
        steps.accepting = False
        steps.watched = True
        steps.give_back_waiting()
        all_ended = self._quiet_within(grace, self.hurried)
        if not all_ended:
            self._stop_running()
        self._maintenance.close()
        if self._watch is not None:
            self._watch.close()
        self._claimer.close()
        self._steps.give_back_alone()
        self._write_the_rest()
        self._maintenance.unregister()
        for crew in (self._threads, self._children, self._loop):
            crew.close(_CLOSING if all_ended else 0.0 if self.hurried() else _LAST_WORD)
        self._keeper.close()
        capture.end()
        self._tell(WorkerStopped)
        self._announcer.close(_LAST_WORD if self.hurried() else _LAST_WRITE)
        floor.leave()
        return all_ended

    def _tell(self, kind: type[WorkerStarted | WorkerStopped]) -> None:
        floor = self.floor
        if floor.hooks.listeners_of(kind):
            floor.tell([kind(at=to_datetime(floor.store_time()), worker=worker_name(floor.worker))])

    def _quiet_within(self, seconds: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Wait until nothing runs or waits to be written; give up early when hurried."""
        until = uptime() + seconds
        steps = self._steps
        while (left := until - uptime()) > 0 and not hurried():
            self._claimer.quiet.clear()
            if steps.quiet and steps.alone is None:
                return True
            steps.give_back_waiting()  # of a claim that was under way
            steps.bell.ring()
            self._claimer.quiet.wait(min(left, 0.05))
        return steps.quiet and steps.alone is None

    def _stop_running(self) -> None:
        """Tell all that run to stop, and give back those that do not within a moment."""
        floor = self.floor
        left = list(floor.running.copy())
        LOGGER.warning("%d jobs have not ended in time and are given back", len(left))
        for attempt in left:
            attempt.tell(Told.STOP)
        self._quiet_within(_LAST_WORD, self.hurried)
        for attempt in floor.running.copy():
            self._release(attempt)

    def _release(self, attempt: Attempt) -> None:
        floor = self.floor
        attempt.seat.give_up(attempt)
        try:
            floor.running.remove(attempt)
        except KeyError:  # it has ended at this very moment
            return
        outcome: Outcome | None = abandoned(attempt)
        if outcome is not None:
            floor.done.append(outcome)
        attempt.seat.replace(attempt)

    def _write_the_rest(self) -> None:
        """Write the outcomes that are left, as long as the store may be waited for."""
        floor, steps = self.floor, self._steps
        floor.notes.flush()
        until = uptime() + (0.5 if self.hurried() else _LAST_WRITE)
        pause = Event()
        while floor.done and uptime() < until:
            steps.lead()
            if floor.outage.open:
                pause.wait(min(max(floor.outage.next_try - uptime(), 0.01), 0.5))
        if floor.done:
            LOGGER.error(
                "%d outcomes could not be written; their leases will pass, and they run again", len(floor.done)
            )
