"""Running in one's own thread all that is due: `drain`, and `adrain` for a running event loop. Owns that loop of both.

The way of a job is the worker's own: the same attempt, the same settling, the same step. Jobs run one after another,
so one that must run alone does; those claimed with it are given back first. A keeper extends leases meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Protocol, TypeVar

from millrace.clock import micros
from millrace.errors import MillraceError, StoreUnavailable
from millrace.followups import settle
from millrace.hooks import news_of_rescue, on_loop
from millrace.job import JobRow
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.registry import RunIn
from millrace.states import FINAL, JobState
from millrace.worker import capture
from millrace.worker.attempt import Attempt, Seat
from millrace.worker.children import ChildSeat
from millrace.worker.completer import step, take_outcomes
from millrace.worker.floor import last_chance
from millrace.worker.floors import make_floor
from millrace.worker.host import ready
from millrace.worker.inline import CallersLoop, CallersThread, OwnLoop
from millrace.worker.keeper import Keeper
from millrace.worker.news import Tell
from millrace.worker.notice import Notices
from millrace.worker.pace import Pace
from millrace.worker.settings import read_names
from millrace.worker.ticker import Ticker
from millrace.worker.uptime import uptime

if TYPE_CHECKING:
    from millrace.worker.host import Host

__all__ = ["adrain", "drain"]

T = TypeVar("T")


def drain(host: Host, queues: Iterable[str] | None = None) -> dict[JobState, int]:
    """Run in this thread all that is due and claimable, until none is left.

    Retries that have become due are included; it never waits for later ones. Async handlers run on an event loop of
    the drain's own.

    Args:
        host: The app.
        queues: From these only; None is any.

    Returns:
        How many jobs were left in which state; a state that none was left in counts 0.

    Raises:
        StoreUnavailable: The store is out of reach; what was claimed runs again when its lease has passed.
        ConfigurationError, SchemaMismatch: It refuses; the same holds.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> job = app.task(name="ping")(lambda: "pong").enqueue()
    >>> drain(app)[JobState.COMPLETED]
    1
    """
    run = _Drain(host, queues)
    thread, loop, child = CallersThread(), OwnLoop(), ChildSeat(run.floor)
    seats: dict[RunIn, _Performer] = {"thread": thread, "loop": loop, "process": child}
    try:
        with _interrupts() as interrupted:
            while (row := run.next()) is not None:
                seat = seats[run.kind(row)]
                attempt = run.floor.begin(row, seat)
                if attempt is not None:
                    outcome = seat.perform(attempt)
                    if interrupted:
                        run.end(attempt, Outcome.released(row, retention=attempt.plan.retention))
                        raise KeyboardInterrupt
                    run.end(attempt, outcome)
        return run.counts
    finally:
        loop.close()
        child.close()
        run.close()


async def adrain(host: Host, queues: Iterable[str] | None = None) -> dict[JobState, int]:
    """Do as `drain` does inside a running event loop: async handlers run on it, all others and the store in threads.

    Cancelled, it ends the handler that runs, and gives back what has not begun.

    >>> import asyncio
    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> job = app.task(name="ping")(lambda: "pong").enqueue()
    >>> asyncio.run(adrain(app))[JobState.COMPLETED]
    1
    """
    tell = partial(host.hooks.tell, wait=on_loop(asyncio.get_running_loop()))
    run = await asyncio.to_thread(_Drain, host, queues, tell)
    thread, loop, child = CallersThread(), CallersLoop(), ChildSeat(run.floor)
    try:
        while (row := run.peek() or await _to_its_end(run.fetch)) is not None:
            run.take()
            kind = run.kind(row)
            attempt = run.floor.begin(row, loop if kind == "loop" else thread if kind == "thread" else child)
            if attempt is None:
                continue
            if kind == "loop":
                run.end(attempt, await loop.aperform(attempt))
            else:
                await _to_its_end(partial(run.perform, attempt, thread if kind == "thread" else child))
        return run.counts
    finally:
        await _to_its_end(child.close)
        await _to_its_end(run.close)


async def _to_its_end(function: Callable[[], T]) -> T:
    """Call a function in a thread; a cancel waits until it has returned, and is raised then."""
    work = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


@contextmanager
def _interrupts() -> Generator[list[int]]:
    """Tell a Ctrl-C, which ends the drain, from a `KeyboardInterrupt` raised by a handler, which fails its attempt."""
    seen: list[int] = []
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield seen
        return

    def interrupt(number: int, _: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Performer(Seat, Protocol):
    """A seat that runs an attempt in the thread that calls."""

    def perform(self, attempt: Attempt, /) -> Outcome | None: ...


class _Drain:
    """The claims and outcomes of one drain."""

    def __init__(self, host: Host, queues: Iterable[str] | None, tell: Tell | None = None) -> None:
        self._queues = None if queues is None else read_names("queue", "queues", queues)
        ready(host)
        self.floor = make_floor(host, Notices(), tasks=None, grace=math.inf, tell=tell)
        self.counts: Counter[JobState] = Counter()
        self._rows: deque[JobRow] = deque()  # claimed, in order
        self._alone: JobRow | None = None
        self._waiting: dict[bytes, JobState] = {}  # jobs that did not end for good, which may come again
        self._pace = Pace(uptime())
        self._ended = 0
        self._keeper = Keeper(self.floor, lambda _: None)
        retention = None if host.retention is None else micros(host.retention)
        dead_retention = None if host.dead_retention is None else micros(host.dead_retention)
        rescued = self.floor.store.rescue(retention=retention, dead_retention=dead_retention)
        if host.hooks.hears_jobs:
            self.floor.tell(news_of_rescue(self.floor.store, rescued))
        settle(self.floor.store)
        host.settle_schedules()
        Ticker(self.floor.store, self.floor.hooks, self.floor.tell).round()
        self._keeper.start()
        capture.begin()

    # -- claiming

    def next(self) -> JobRow | None:
        """Take the next job, claimed now where none is left; None where nothing is due."""
        if self._rows or self.fetch() is not None:
            return self._rows.popleft()
        return None

    def peek(self) -> JobRow | None:
        """Return the next job that is claimed already."""
        return self._rows[0] if self._rows else None

    def take(self) -> None:
        """Take the job that `peek` or `fetch` returned."""
        self._rows.popleft()

    def fetch(self) -> JobRow | None:
        """Write what has ended, claim, and return the next job, which is left to be taken.

        Raises:
            StoreUnavailable, ConfigurationError, SchemaMismatch: The store cannot be used.
        """
        while True:
            outcomes = take_outcomes(self.floor)
            if self._alone is not None:
                if outcomes:
                    self._step(outcomes, ())
                    continue
                self._rows.append(self._alone)
                self._alone = None
                break
            answer = self._step(outcomes, self._requests())
            if answer is not None:
                self._take_in(answer.claimed)
            if self._rows:
                break
            done = not self.floor.done and self._alone is None
            if done and not settle(self.floor.store):
                return None
        return self._rows[0]

    def _requests(self) -> list[ClaimRequest]:
        floor = self.floor
        floor.plans.refresh()
        if not floor.plans.claimable:
            return []
        now = uptime()
        limit = 1 + self._pace.ahead(self._ended, now)
        self._pace.mark(self._ended, now)
        return [ClaimRequest(limit, self._queues, floor.plans.claimable, leases=floor.plans.leases)]

    def _take_in(self, rows: Sequence[JobRow]) -> None:
        single = next((row for row in rows if last_chance(row)), None)
        if single is None or len(rows) == 1:
            self._rows.extend(rows)
            return
        self._alone = single
        for row in rows:
            if row is not single:
                self.floor.give_back(row)

    # -- running

    def kind(self, row: JobRow) -> RunIn:
        """Return which runner a job has."""
        return self.floor.plans[row.task].kind

    def perform(self, attempt: Attempt, seat: _Performer) -> None:
        """Run an attempt to its end."""
        self.end(attempt, seat.perform(attempt))

    def end(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """Take an attempt's outcome, to be written with the next claim."""
        self._ended += 1
        self.floor.running.discard(attempt)
        if outcome is not None:
            self.floor.done.append(outcome)

    # -- writing

    def _step(self, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest]) -> StepAnswer | None:
        if not outcomes and not claims:
            return None
        expected = set(self.floor.expected)
        answer = step(self.floor, outcomes, claims)
        if answer is None:
            error = self.floor.outage.error
            if self.floor.outage.open and error is not None:
                raise error if isinstance(error, MillraceError) else StoreUnavailable(str(error))
            return None
        self._count(outcomes, answer, expected)
        return answer

    def _count(self, outcomes: Sequence[Outcome], answer: StepAnswer, expected: set[tuple[bytes, int]]) -> None:
        for place, outcome in enumerate(outcomes):
            if not outcome.recorded:
                continue
            state = answer.resulting.get(place, outcome.state)
            if place in answer.lost:
                if (outcome.id, outcome.claim) not in expected:
                    continue
                state = JobState.COMPLETED
            if self._waiting:
                before = self._waiting.pop(outcome.id, None)
                if before is not None:
                    self.counts[before] -= 1
                    if not self.counts[before]:
                        del self.counts[before]
            self.counts[state] += 1
            if state not in FINAL:
                self._waiting[outcome.id] = state

    def close(self) -> None:
        """End; give back what has not run, and write what has, where the drain was cut short."""
        capture.end()
        self._keeper.close()
        if self._alone is not None:
            self._rows.append(self._alone)
        while self._rows:
            self.floor.give_back(self._rows.popleft())
        if self.floor.notes.pending:
            self.floor.notes.flush()
        left = take_outcomes(self.floor)
        if left:
            step(self.floor, left, ())
        self.floor.leave()
