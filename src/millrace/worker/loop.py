"""The runner of async handlers: an event loop in a thread of its own. Owns the loop, its slots, a job's way in one.

A slot is one long-lived asyncio task that takes job after job, so a handler which does not suspend costs no task of its
own; `asyncio.current_task()`, timeouts and cancels are the slot's. Each job has its own value of the job's variable,
and a slot whose context a handler has changed is replaced by a fresh one, so that nothing of one job reaches the next.
The loop never waits for the store. It pauses a moment now and then while a step is out: a busy event loop gives other
threads no time otherwise.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextvars import Context, copy_context
from threading import Event, Thread
from typing import Any

from millrace.context import CURRENT
from millrace.outcome import Outcome
from millrace.worker.attempt import Attempt
from millrace.worker.floor import Floor
from millrace.worker.lane import Bay
from millrace.worker.settle import raised, returned
from millrace.worker.telling import LOGGER
from millrace.worker.threads import TURN_SECONDS
from millrace.worker.uptime import uptime

__all__ = ["LoopCrew"]

_TURNS = 16  # jobs that a slot runs before it lets the loop go round
_BREATH = 0.00005  # seconds for which the loop sleeps to let other threads run
_BREATHLESS = 0.005  # seconds that a step may be out before that


class Slot:
    """One slot's task, and the attempt in it."""

    __slots__ = ("_crew", "attempt", "bay", "replaced", "task", "waker")

    waits = False
    patience = math.inf

    def __init__(self, crew: LoopCrew, bay: Bay) -> None:
        self._crew = crew
        self.bay = bay
        self.attempt: Attempt | None = None
        self.task: asyncio.Task[None] | None = None
        self.waker: asyncio.Future[None] | None = None
        self.replaced = False

    # -- millrace.worker.attempt.Seat

    def stop(self, attempt: Attempt) -> None:
        """Cancel the handler, from the loop's own thread."""
        self._crew.call(self._cancel, attempt)

    def _cancel(self, attempt: Attempt) -> None:
        if self.attempt is attempt and self.task is not None:
            self.task.cancel(attempt.told.value if attempt.told is not None else None)

    def give_up(self, _: Attempt) -> bool:
        """Tell that a task may be left to itself."""
        return True

    def replace(self, _: Attempt) -> None:
        """Give the slot back; the task ends with its handler."""
        self.replaced = True
        self.bay.lane.replace()

    # -- the task

    async def run(self) -> None:
        """Run jobs for as long as the worker lives, or until a handler has changed the slot's context."""
        fresh = copy_context()
        while await self._work(fresh) and copy_context() == fresh:
            self.waker = asyncio.get_running_loop().create_future()
            self.bay.idle.append(self)
            await self.waker

    async def _work(self, fresh: Context) -> bool:  # noqa: C901, PLR0912 - in one piece, as in `threads`
        """Run jobs while there are any; False where another slot stands for this one now."""
        bay, floor, steps = self.bay, self._crew.floor, self._crew.floor.steps
        lane, ready, running, begin = bay.lane, bay.ready, floor.running, floor.begin
        since, turns = uptime(), 0
        while True:
            try:
                row = ready.popleft()
            except IndexError:
                if lane.leave(bay):
                    return True
                continue
            attempt = begin(row, self)
            if attempt is None:
                continue
            plan = attempt.plan
            token = CURRENT.set(attempt)
            self.attempt = attempt
            try:
                args, kwargs = plan.decode(row.args)
                if plan.takes_context:
                    args = (attempt.context, *args)
                value = await plan.function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - SystemExit and the like have failed an attempt, and no more
                outcome = self._raised(attempt, error)
            else:
                if value is None and attempt.side is None and not floor.talks:
                    self.attempt = None
                    outcome = Outcome.completed(row, None, retention=plan.retention)
                else:
                    outcome = self._returned(attempt, value)
            CURRENT.reset(token)
            try:
                running.remove(attempt)
            except KeyError:  # it was given up: another slot stands for this one, another outcome too
                return False
            if outcome is not None:
                floor.done.append(outcome)
            if steps.permits:
                if len(ready) <= lane.low:
                    steps.relieve()
                elif not steps.near:
                    steps.poke()
            turns += 1
            if turns % _TURNS == 0 and await self._go_round(since):
                return True
            if copy_context() != fresh:
                self._crew.begin(bay)
                return False

    def _raised(self, attempt: Attempt, error: BaseException) -> Outcome | None:
        self.attempt = None
        if self._crew.closed:
            raise error
        self._forget_cancels()
        return raised(attempt, error)

    def _returned(self, attempt: Attempt, value: object) -> Outcome | None:
        self.attempt = None
        self._forget_cancels()
        return returned(attempt, value)

    async def _go_round(self, since: float) -> bool:
        """Let the loop go round; tell whether the slot was given to another runner, whose jobs have waited."""
        self._crew.breathe()
        await asyncio.sleep(0)
        lane = self.bay.lane
        return lane.crowded and uptime() - since > TURN_SECONDS and lane.leave(self.bay, yields=True)

    def _forget_cancels(self) -> None:
        """Take back requests to cancel that were meant for the last handler."""
        task = self.task
        while task is not None and task.cancelling():
            task.uncancel()


class LoopCrew:
    """The event loop of one worker. Its thread starts when the first async job comes."""

    one_by_one = False

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._slots: set[asyncio.Task[None]] = set()
        self._breathing = False

    # -- from any thread

    def engage(self, bay: Bay, count: int) -> None:
        """Let so many slots begin; one wake-up of the loop for all of them."""
        if self._thread is None:
            self._start()
        self.call(self._engage, bay, count)

    def call(self, function: Any, *args: Any) -> None:
        """Run a function in the loop's thread; nothing happens once the loop is closed."""
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # it has just been closed: what ran on it has ended with it
            LOGGER.debug("the event loop is closed; a call to it was dropped")

    def _start(self) -> None:
        started = Event()
        self._thread = Thread(target=self._run, args=(started,), name="millrace-loop", daemon=True)
        self._thread.start()
        started.wait()

    def close(self, patience: float) -> None:
        """Cancel what is left and end the thread; left to itself where a handler blocks it for longer."""
        thread = self._thread
        if thread is None:
            return
        self.call(self._end)
        thread.join(patience)

    # -- in the loop's thread

    def _engage(self, bay: Bay, count: int) -> None:
        for _ in range(count):
            if bay.idle:
                slot: Slot = bay.idle.pop()
                if slot.waker is not None and not slot.waker.done():
                    slot.waker.set_result(None)
            else:
                self.begin(bay)
        if not self._breathing:
            self._breathing = True
            asyncio.get_running_loop().call_later(_BREATHLESS, self._keep_breathing)

    def begin(self, bay: Bay) -> None:
        """Make a slot in a fresh context, which works at once."""
        slot = Slot(self, bay)
        slot.task = asyncio.get_running_loop().create_task(slot.run(), context=Context())
        self._slots.add(slot.task)
        slot.task.add_done_callback(self._slots.discard)

    def breathe(self) -> None:
        """Let other threads run, if one of them has been at a step for long."""
        since = self.floor.steps.under_way
        if since and uptime() - since > _BREATHLESS:
            time.sleep(_BREATH)

    def _keep_breathing(self) -> None:
        """Breathe also for handlers that keep the loop busy themselves, while any run."""
        self._breathing = bool(self.floor.running)
        if self._breathing:
            self.breathe()
            asyncio.get_running_loop().call_later(_BREATHLESS, self._keep_breathing)

    def _run(self, started: Event) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        started.set()
        while not self.closed:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # raised in a task that a handler had started: it goes through the loop, and must not end it
                LOGGER.error("a background task of a handler raised %s", type(error).__name__)
        try:
            loop.run_until_complete(self._cancel_all())
        except (SystemExit, KeyboardInterrupt) as error:
            LOGGER.error("a task raised %s while it was cancelled", type(error).__name__)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _end(self) -> None:
        self.closed = True
        asyncio.get_running_loop().stop()

    async def _cancel_all(self) -> None:
        """Cancel every task that is left, those of handlers' own making included, and close what hangs on the loop."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()
