"""The worker that users hold: `Worker`. Owns its starts and stops; what happens in between is `shift.py`'s."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from threading import Event, Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from millrace import checks
from millrace.context import CURRENT
from millrace.errors import ConfigurationError
from millrace.ids import worker_name
from millrace.worker.bell import Bell
from millrace.worker.host import checked, ready
from millrace.worker.notice import Notices
from millrace.worker.settings import read_settings
from millrace.worker.shift import Shift
from millrace.worker.stopping import StopSignals, quick_switching
from millrace.worker.summary import Summary, Tally
from millrace.worker.telling import LOGGER
from millrace.worker.wire import CHILD_VARIABLE

if TYPE_CHECKING:
    from millrace.worker.host import Host

__all__ = ["Worker"]

_LAST_WORDS = 2.0  # seconds that a worker told twice has to give its jobs back


class Worker:
    """Claims jobs and runs them, in this process. `with` and `async with` start it and stop it again.

    It claims only tasks that the app knows, ones registered later included.

    Args:
        app: The app whose jobs it runs.
        queues: Claim from these only; None is all, new ones too.
        tasks: Run these only, named or given; None is every task of the app.
        concurrency: Jobs at once in this process, over all runners.
        reserved: Slots by queue that no other queue's jobs may take: `{"high": 2}`. They count in `concurrency`.
        burst: `run` ends when nothing is due and nothing runs.
        grace: Seconds that running jobs have to end once it stops, and that a job has to answer a timeout or a cancel.
        prefetch: The most jobs to claim beyond the free slots; None finds out by the pace, 0 claims none ahead.

    Raises:
        ConfigurationError: An option is not acceptable.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> with Worker(app, concurrency=2):
    ...     add.enqueue(2, 3).wait(timeout=10).result
    5
    >>> app.close()
    """

    def __init__(
        self,
        app: Host,
        *,
        queues: Iterable[str] | None = None,
        tasks: Iterable[str | checks.Named] | None = None,
        concurrency: int = 10,
        reserved: Mapping[str, int] | None = None,
        burst: bool = False,
        grace: float | timedelta = 30.0,
        prefetch: int | None = None,
    ) -> None:
        self.notices = Notices()  #: what it tells to tests and others that would wait for it
        self._host = checked(app)
        self._settings = read_settings(
            queues=queues,
            tasks=tasks,
            concurrency=concurrency,
            reserved=reserved,
            burst=burst,
            grace=grace,
            prefetch=prefetch,
        )
        self._changing = Lock()
        self._shift: Shift | None = None
        self._last = Tally().summary()
        self._empty = Event()
        self._bell = Bell()  # rung where `run` should look up

    @property
    def running(self) -> bool:
        """Whether it is at work.

        >>> from millrace import Millrace
        >>> Worker(Millrace("memory://")).running
        False
        """
        return self._shift is not None

    @property
    def id(self) -> str | None:
        """The name under which it claims now, as `Job.worker` shows it; another one after each start.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> with Worker(app) as worker:
        ...     job.wait(timeout=10).worker == worker.id
        True
        >>> app.close()
        """
        shift = self._shift
        return None if shift is None else worker_name(shift.floor.worker)

    @property
    def summary(self) -> Summary:
        """What it has done since it was last started.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> worker = Worker(app, burst=True)
        >>> worker.run(), worker.summary.attempts
        (0, 1)
        """
        shift = self._shift
        return self._last if shift is None else shift.summary

    @property
    def complaints(self) -> list[str]:
        """Why it does not do its work, in a sentence each; empty while all is well.

        That is so while the store cannot be used, while its signs of life fail, and while it is not at work.

        >>> from millrace import Millrace
        >>> Worker(Millrace("memory://")).complaints
        ['the worker is not at work']
        """
        shift = self._shift
        return ["the worker is not at work"] if shift is None else shift.complaints()

    def start(self) -> None:
        """Begin to claim and run jobs, in threads of its own.

        Raises:
            ConfigurationError: It is at work already.
            MillraceError: The store cannot be used, other than by being out of reach for now.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> worker = Worker(app)
        >>> worker.start()
        >>> job.wait(timeout=10).result
        'pong'
        >>> worker.stop()
        >>> app.close()
        """
        if os.environ.get(CHILD_VARIABLE):
            raise ConfigurationError(
                "a worker was about to start in a child process of a worker, which has only loaded this module for its "
                "tasks; start it under if __name__ == '__main__'"
            )
        with self._changing:
            if self._shift is not None:
                raise ConfigurationError("the worker is at work already; stop it first, or make another one")
            ready(self._host)
            self._empty.clear()
            shift = Shift(self._host, self._settings, self.notices, self._found_empty)
            shift.start()
            self._shift = shift

    def stop(self, grace: float | timedelta | None = None, drain: bool = False) -> None:  # noqa: FBT001, FBT002
        """Stop claiming, let running jobs end within the grace, and give back what is left; that is not a try for it.

        Does nothing where it is not at work.

        Args:
            grace: Seconds; None is the worker's own.
            drain: First run all that is due.

        Raises:
            ConfigurationError: A handler of this very worker calls it, or the grace is no duration.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> worker = Worker(app)
        >>> worker.start()
        >>> worker.stop(drain=True)
        >>> job.refresh().result
        'pong'
        """
        shift = self._shift
        if shift is None:
            return
        held = CURRENT.get()
        if held is not None and getattr(held, "floor", None) is shift.floor:
            raise ConfigurationError(
                "stop() was called by a handler of the worker that it would wait for; call it from elsewhere, or send "
                "the process SIGTERM"
            )
        seconds = self._settings.grace if grace is None else checks.duration("grace", grace)
        if drain:
            self._wait_until_empty(shift)
        self._end(shift, seconds)

    def run(self) -> int:
        """Work until SIGTERM or SIGINT, or with `burst` until nothing is due and nothing runs.

        Signals are handled only where this is called in the main thread; elsewhere `stop` ends it.

        Returns:
            0, or 1 where a second signal cut the grace short.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> job = app.task(name="ping")(lambda: "pong").enqueue()
        >>> Worker(app, burst=True).run()
        0
        >>> job.refresh().result
        'pong'
        """
        bell = self._bell
        with quick_switching(), StopSignals(bell, _LAST_WORDS) as signals:
            self.start()
            shift = self._shift
            while shift is not None and self._shift is shift and not signals.count:
                if self._settings.burst and self._empty.is_set():
                    break
                bell.wait(1.0)
            if signals.count:
                LOGGER.info(
                    "stopping: running jobs have %.0f s to end; another signal stops at once", self._settings.grace
                )
            if shift is not None:
                shift.hurried = lambda: signals.again
                self._end(shift, self._settings.grace)
            return 1 if signals.again else 0

    def _found_empty(self) -> None:
        self._empty.set()
        if self._settings.burst:
            self._bell.ring()

    def _wait_until_empty(self, shift: Shift) -> None:
        self._empty.clear()
        shift.watch_for_empty()
        while self._shift is shift and not self._empty.wait(0.1):
            continue

    def _end(self, shift: Shift, grace: float) -> None:
        shift.end(grace)
        with self._changing:
            if self._shift is shift:
                self._last = shift.summary
                self._shift = None
                self._bell.ring()
                LOGGER.info("stopped: %s", self._last)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)
