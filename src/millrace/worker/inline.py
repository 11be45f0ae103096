"""Seats for jobs that run without a worker's threads: in the caller's own, on a loop of its own, on the caller's loop.

Owns how a drain runs one attempt, whatever its runner. None of them can be left to itself: they are the caller's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from millrace.context import CURRENT
from millrace.outcome import Outcome
from millrace.worker.attempt import Attempt, Told
from millrace.worker.settle import raised, returned
from millrace.worker.threads import call_handler

__all__ = ["CallersLoop", "CallersThread", "OwnLoop"]

T = TypeVar("T")


class CallersThread:
    """Runs sync handlers in the thread that calls."""

    waits = True
    patience = math.inf

    def stop(self, _: Attempt) -> None:
        """Do nothing: a thread is told by its flag."""

    def give_up(self, _: Attempt) -> bool:
        """Refuse: it is the caller's thread."""
        return False

    def replace(self, _: Attempt) -> None:
        """Do nothing: there is no other."""

    def perform(self, attempt: Attempt) -> Outcome | None:
        """Run one attempt to its end."""
        token = CURRENT.set(attempt)
        try:
            return call_handler(attempt)
        finally:
            CURRENT.reset(token)


class CallersLoop:
    """Runs async handlers on the event loop that awaits it, each in a task of its own."""

    waits = False
    patience = math.inf

    def __init__(self) -> None:
        self._task: asyncio.Task[Outcome | None] | None = None
        self._attempt: Attempt | None = None

    def stop(self, attempt: Attempt) -> None:
        """Cancel the handler, from the loop's own thread."""
        task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(self._cancel, attempt)

    def _cancel(self, attempt: Attempt) -> None:
        if self._attempt is attempt and self._task is not None:
            self._task.cancel()

    def give_up(self, _: Attempt) -> bool:
        """Refuse: the caller waits for it."""
        return False

    def replace(self, _: Attempt) -> None:
        """Do nothing: there is no other."""

    async def aperform(self, attempt: Attempt) -> Outcome | None:
        """Run one attempt to its end; where the caller is cancelled, the handler is too, and the job is given back."""
        context = copy_context()
        context.run(CURRENT.set, attempt)
        self._attempt = attempt
        self._task = task = asyncio.get_running_loop().create_task(self._awaited(attempt), context=context)
        if attempt.told is not None:
            task.cancel()
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            attempt.tell(Told.STOP)
            await asyncio.wait({task})
            outcome = task.result()
            attempt.floor.running.discard(attempt)
            if outcome is not None:
                attempt.floor.done.append(outcome)
            raise
        finally:
            self._attempt = self._task = None
        return task.result()

    @staticmethod
    async def _awaited(attempt: Attempt) -> Outcome | None:
        plan = attempt.plan
        try:
            args, kwargs = plan.decode(attempt.row.args)
            if plan.takes_context:
                args = (attempt.context, *args)
            value = await plan.function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like have failed an attempt, and no more
            return raised(attempt, error)
        return returned(attempt, value)


class OwnLoop(CallersLoop):
    """Runs async handlers on an event loop of its own, in the calling thread where no other loop runs there."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self._runner: asyncio.Runner | None = None

    def perform(self, attempt: Attempt) -> Outcome | None:
        """Run one attempt to its end."""
        return _where_no_loop_runs(partial(self._run, attempt))

    def _run(self, attempt: Attempt) -> Outcome | None:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self.aperform(attempt), context=copy_context())

    def close(self) -> None:
        """Close the loop."""
        if self._runner is not None:
            _where_no_loop_runs(self._runner.close)
            self._runner = None


def _where_no_loop_runs(function: Callable[[], T]) -> T:
    """Call a function in this thread, or in another where a loop runs here: a thread cannot run two at once."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()
