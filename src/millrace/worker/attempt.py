"""One attempt under way. Owns what is known of it between claim and outcome, and what its handler can do to its job.

It is made for every job, so it is small: what only some attempts need lies in its `Side`, made when first asked for.
Whoever removes an attempt from `floor.running` owns its end; everyone who comes later drops theirs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from millrace.clock import micros
from millrace.context import JobContext
from millrace.errors import LeaseLost
from millrace.ids import worker_name
from millrace.job import Job, JobRow, Progress
from millrace.messages import Beat
from millrace.outcome import Outcome
from millrace.signals import CancelJob
from millrace.worker.joining import ajoined, joined
from millrace.worker.plan import Plan
from millrace.worker.telling import fields, log_line, told
from millrace.worker.uptime import uptime

if TYPE_CHECKING:
    from millrace.worker.floor import Floor

__all__ = ["Attempt", "Seat", "Side", "Told"]

_PROGRESS_SECONDS = 0.1  # between two writes of one attempt's progress
_log = logging.getLogger("millrace.job")


class Told(Enum):
    """Why an attempt was told to stop."""

    CANCEL = "cancelled on request"
    TIMEOUT = "ran past its timeout"
    LOST = "lost its lease"
    STOP = "the worker stops"


class Seat(Protocol):
    """Where an attempt runs: a thread, a slot on the event loop, a thread with a child process, a drain."""

    waits: bool  #: whether its handler may be kept waiting for the store; an event loop may not
    patience: float  #: seconds that it has to answer once told to stop, where that is less than the worker's grace

    def stop(self, attempt: Attempt, /) -> None:
        """Pass on that the attempt was told to stop. From any thread."""
        ...

    def give_up(self, attempt: Attempt, /) -> bool:
        """Tell whether the attempt may be left to itself; False where it cannot, or where this has ended it."""
        ...

    def replace(self, attempt: Attempt, /) -> None:
        """Replace the slot of an attempt that is left to itself."""
        ...


class Side:
    """What only some attempts have: a context, a word to stop, notes that are not written yet."""

    __slots__ = ("completed", "context", "given_up", "progress", "progress_at", "raised", "returned", "told", "told_at")

    def __init__(self) -> None:
        self.context: JobContext | None = None
        self.told: Told | None = None
        self.told_at = math.inf
        self.given_up = False
        self.completed = False  #: `complete(connection=)` was called, whatever has become of its transaction
        self.returned = False  #: and then the handler has returned, as it should
        self.raised: BaseException | None = None  #: or this was raised by it
        self.progress: Progress | None = None  #: told, and not written yet
        self.progress_at = -math.inf


class Attempt(msgspec.Struct, eq=False):
    """One run of one job. See the module; `millrace.context.Running` is what its handler sees."""

    row: JobRow
    plan: Plan
    seat: Seat
    floor: Floor
    deadline: float = math.inf  #: by `uptime`
    lease_end: int = 0  #: as the store has it, in its time; 0: as it was claimed
    side: Side | None = None

    @property
    def aside(self) -> Side:
        """The side, made where there is none."""
        side = self.side
        if side is None:
            side = self.side = Side()
        return side

    @property
    def told(self) -> Told | None:
        """Why it was told to stop, or None."""
        return None if self.side is None else self.side.told

    @property
    def completes_itself(self) -> bool:
        """Whether its handler has written its completion itself: only the store knows what is true of it then."""
        return self.side is not None and self.side.completed and (self.row.id, self.row.claim) in self.floor.expected

    def tell(self, why: Told) -> None:
        """Tell the attempt to stop. The first reason stays, but a lost lease outdoes all others."""
        side = self.aside
        if side.told is not None and (why is not Told.LOST or side.told is Told.LOST):
            return
        first = side.told is None
        side.told = why
        if first:
            side.told_at = uptime()
            self.seat.stop(self)
        told(self, why.value)
        self.floor.notices.told.tell()

    # -- what the handler sees: millrace.context.Running

    @property
    def job(self) -> Job[Any]:
        """The job as it was claimed."""
        return Job(self.row, self.floor.host)

    @property
    def context(self) -> JobContext:
        """The context, made when it is first asked for."""
        side = self.aside
        if side.context is None:
            side.context = JobContext(self)
        return side.context

    def stop_error(self) -> Exception | None:
        """Return what tells the handler to stop, or None while it may go on."""
        match self.told:
            case None:
                return None
            case Told.TIMEOUT:
                return TimeoutError(f"the attempt has run past its timeout of {self.plan.timeout:g} s")
            case Told.LOST:
                return self.lost_error()
            case Told.CANCEL | Told.STOP as why:
                return CancelJob(why.value)

    def lost_error(self) -> LeaseLost:
        """Make the error that says whose lease is no more."""
        row = self.row
        return LeaseLost(
            f"claim {row.claim} of job {row.id.hex()} is no longer worker {worker_name(self.floor.worker)}'s; stop the "
            "work, another worker may have it"
        )

    def log(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Keep a log line and send it to `logging`."""
        row = self.row
        if _log.isEnabledFor(level):
            _log.log(level, "%s", message, extra={**fields(row), "data": data})
        self.keep(level, message, data)

    @property
    def keeps(self) -> int | None:
        """From which level on lines of `logging` are kept; none are any more once the attempt has ended."""
        return self.floor.hooks.log_level if self in self.floor.running else None

    def keep(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Keep a log line, and send it nowhere else."""
        floor = self.floor
        floor.notes.add_line(log_line(self.row, floor.store.now(), level, message, data))

    def progress(self, progress: Progress) -> None:
        """Store how far the job is: now, or with what follows within the next tenth of a second."""
        side = self.aside
        side.progress = progress
        now = uptime()
        if now - side.progress_at >= _PROGRESS_SECONDS:
            side.progress_at = now
            self.floor.notes.add_attempt(self, wait=self.seat.waits)
        else:
            self.floor.notes.add_attempt_later(self)

    def partial(self, result: bytes) -> None:
        """Store a partial result; an event loop does not wait for it."""
        self.floor.notes.add_beat(self, Beat(self.row.ref, self.row.id, self.row.claim, result=result), self.seat.waits)

    def take_progress(self) -> Beat | None:
        """Return the progress that is not written yet as a beat, or None."""
        side = self.side
        if side is None or side.progress is None:
            return None
        progress, side.progress = side.progress, None
        return Beat(self.row.ref, self.row.id, self.row.claim, progress=progress)

    def extend(self, seconds: float) -> None:
        """Let the lease last for so long from now.

        Raises:
            LeaseLost: It is another's.
        """
        self._raise_if_lost()
        row = self.row
        self.lease_end = self.floor.store_time() + micros(seconds)
        beat = Beat(row.ref, row.id, row.claim, lease=micros(seconds))
        self.floor.notes.add_beat(self, beat, self.seat.waits)
        self._raise_if_lost()

    def _raise_if_lost(self) -> None:
        if self.told is Told.LOST:
            raise self.lost_error()

    def complete(self, result: bytes | None, connection: Any) -> None:
        """Write the success on the caller's own connection.

        Raises:
            LeaseLost: The claim is no longer this worker's.
            NotSupported: The store cannot do it.
        """
        store = joined(self.floor.store)
        with self._completing():
            self._raise_unless(store.finish_on(connection, self.floor.worker, self._success(result)))

    def acomplete(self, result: bytes | None, connection: Any) -> Coroutine[Any, Any, None]:
        """Write it on one that is awaited. A handler that forgets to await it has not committed."""
        self.aside.completed = True
        return self._acomplete(result, connection)

    async def _acomplete(self, result: bytes | None, connection: Any) -> None:
        with self._completing():
            store = ajoined(self.floor.store)
            self._raise_unless(await store.afinish_on(connection, self.floor.worker, self._success(result)))

    def _success(self, result: bytes | None) -> Outcome:
        return Outcome.completed(self.row, result, retention=self.plan.retention)

    @contextmanager
    def _completing(self) -> Generator[None]:
        """Count the attempt as completed in its own transaction, unless the write within this block fails."""
        side, key = self.aside, (self.row.id, self.row.claim)
        self.floor.expected[key] = self
        side.completed = True
        try:
            yield
        except BaseException:
            self.floor.expected.pop(key, None)
            side.completed = False
            raise

    def _raise_unless(self, held: bool) -> None:  # noqa: FBT001 - the store's answer
        if not held:
            raise self.lost_error()
