"""The Store protocol: what a place where jobs live must do. The records that go in and out are in `messages.py`.

A store is synchronous, takes lists, and decides nothing: policy (retry or dead, when, how often) is made above it. It
reports "lease lost" and "duplicate" as results, never by raising; what it raises is `StoreUnavailable`,
`SchemaMismatch` or `ConfigurationError`. Every verb that compares times takes `now` in microseconds; None means the
store's own clock, and that is what all but tests pass. All verbs may be called from any thread.

Rules that every store keeps (the conformance suite holds them):
1. A claim sets `claim = claim + 1` and the worker's number. Every later write about the attempt holds only where id,
   claim and worker still match and the job is running or cancelling; an expired lease nobody took over still holds.
2. Rescue is one conditional change of the current state, never a read followed by a write by id.
3. `rev` grows by one with each change of a job's state, due time or lease.
4. Order within a queue: priority (high first), due, id.
5. A paused queue is not claimed from, and a queue's concurrency counts the running and cancelling jobs of all workers.
6. A job is due from the very microsecond of `due` on. A lease, a retention or a lock has passed once `now` is beyond
   its end; at the very end either answer is good.
7. A job that ends with a retention of 0 is deleted at once, whichever verb ends it; the verb's answer still tells it.
8. Progress, partial result and last error stay until they are replaced or the job is retried. A success clears the
   error, and without a result keeps the partial one; its progress stays as it was last told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from millrace.job import JobRow
from millrace.messages import (
    Beat,
    Changed,
    ClaimRequest,
    Finding,
    InsertAnswer,
    JobFilter,
    NewRow,
    QueueSettings,
    Rescued,
    StepAnswer,
    Waiting,
)
from millrace.outcome import Outcome
from millrace.records import AttemptRow, LogRow, QueueInfo, WorkerRow
from millrace.states import JobState

__all__ = [
    "MAX_ATTEMPT_ROWS",
    "MAX_CLAIM",
    "MAX_LOG_ROWS",
    "MAX_PAGE",
    "AsyncCallerTransactions",
    "CallerTransactions",
    "OpenEnds",
    "Store",
    "Subscription",
]

MAX_CLAIM = 1000  #: jobs in one claim
MAX_PAGE = 1000  #: jobs in one page
MAX_ATTEMPT_ROWS = 50  #: of a job's history, the newest are kept
MAX_LOG_ROWS = 1000  #: of a job's log, the newest are kept


class Subscription(Protocol):
    """A running `watch`."""

    @property
    def live(self) -> bool:
        """Whether hints of other processes come at this moment; where they do not, only polling hears of those."""
        ...

    def close(self) -> None:
        """Stop: the callback is not called any more once this returns."""
        ...


class Store(Protocol):
    """A place where jobs live. See the module's rules; each verb says what it adds to them.

    Attributes:
        url: How people name it, passwords masked.
        parallel_steps: How many `step` calls gain by running at once (SQLite 1, a server 2).
    """

    url: str
    parallel_steps: int

    def now(self) -> int:
        """Return the store's time in microseconds; never steps back within a process."""
        ...

    def migrate(self) -> list[str]:
        """Create or upgrade the schema; return what was done, a line each, empty where nothing was to do."""
        ...

    def close(self) -> None:
        """Release every connection, thread and file. A second call does nothing; a verb after it raises.

        Raises:
            StoreUnavailable: From any verb that is called afterwards.
        """
        ...

    # -- producing

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs in order, all of them or, on an error, none.

        A row whose id is there already, or whose unique key a job holds (an earlier row of the same call included), is
        left out and told in the answer; where both stand in the way, the id is told. Due ones are pending at once, the
        others scheduled. For how long a key is held is told in `holding`. A holder that waits is changed as the row's
        `on_conflict` says: its arguments, with "debounce" its due time too, its `rev` by one for each such row; one
        that runs or has ended stays as it is. Where a row that rejects finds a holder that was there before, nothing is
        written, and `refused` names it.
        """
        ...

    # -- working

    def step(
        self,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        now: int | None = None,
    ) -> StepAnswer:
        """Finish attempts and claim more, in one transaction: the worker's only verb in steady flow.

        Outcomes first, each fenced; then what is due is promoted, or the claims choose as if all of it were; then each
        request claims, in order. A constant number of statements, however many jobs. A success keeps the history
        of other attempts and clears `error`; an outcome with an error replaces `error`. An attempt's row is written for
        every recorded outcome but a success.

        A cancel that was asked for wins over failed, scheduled and pending: the job is cancelled with reason
        `cancelled` and kept for the outcome's `cancelled_retention`, its attempt's row says how the attempt ended, and
        its error is shown. An attempt ends once: of two outcomes for it in one call the second is refused.
        """
        ...

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        """Extend leases, store progress and partial results; answer each beat's state, None where it is lost."""
        ...

    def cancelling(self, worker: int) -> list[tuple[bytes, int]]:
        """Return (id, claim) of the worker's jobs that were asked to cancel. Takes no lock."""
        ...

    def log(self, worker: int, lines: Sequence[LogRow]) -> list[bool]:
        """Store log lines, fenced; answer for each whether it was kept. A job keeps its newest 1,000.

        The order is that of the calls; `at` is shown and not sorted by.
        """
        ...

    def rescue(
        self,
        *,
        retention: int | None,
        dead_retention: int | None,
        limit: int = 500,
        now: int | None = None,
    ) -> list[Rescued]:
        """Take back leases that have passed: crashes + 1, the try given back.

        To pending (reason `lease-lost`, due and place in the order kept), or dead (reason `crashed`) with the
        `max_crashes`-th, or cancelled (reason `cancelled`) where a cancel was asked; progress and partial result stay.
        The error is `outcome.lost_lease` of the crashes as they now are, on the job and on the attempt row `lease-lost`
        that each leaves. The dead are kept for `dead_retention` microseconds, the cancelled for `retention` or the
        job's own `options.retention`; None keeps for ever.
        """
        ...

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending, scheduled and failed ones, the longest due first; return how many, at most `limit`."""
        ...

    def next_due(self) -> int | None:
        """Return when the next scheduled or failed job is due, None where there is none. Takes no lock."""
        ...

    # -- changing jobs; each takes distinct ids, changes those whose state is in `states` and may be changed by the verb
    # (`states.CANCELLABLE` and the like; no other state is touched, whatever `states` holds), and answers in order

    def cancel(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        retention: int | None,
        now: int | None = None,
    ) -> list[Changed]:
        """Cancel: a running job becomes cancelling, any other cancelled (reason `cancelled`).

        The cancelled are kept for `retention` microseconds (None: for ever), or the job's own `options.retention`.
        """
        ...

    def retry(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        args: bytes | None = None,
        now: int | None = None,
    ) -> list[Changed]:
        """Make jobs pending and due now: attempt and crashes 0, result, error, reason and progress cleared.

        `started` is cleared. Attempts and logs stay (a completed job's success is first written as a row), the unique
        key is taken again: of two jobs of one key in a call, by the first.
        """
        ...

    def reschedule(
        self,
        ids: Sequence[bytes],
        states: frozenset[JobState],
        *,
        due: int,
        now: int | None = None,
    ) -> list[Changed]:
        """Move the due time; due ones are pending, others scheduled. Tries, error and reason stay."""
        ...

    def delete(self, ids: Sequence[bytes], states: frozenset[JobState]) -> list[Changed]:
        """Delete jobs with all that belongs to them."""
        ...

    # -- reading; none takes a lock that a writer waits for

    def get(self, ids: Sequence[bytes]) -> list[JobRow | None]:
        """Read jobs by id, in order."""
        ...

    def page(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[JobRow], str | None]:
        """Read one page, newest first, and the cursor of the next; the last page has none, even where it is full.

        Newest is what was inserted last, whatever has become of it. Jobs that come or go in between move no page.

        Raises:
            ConfigurationError: The cursor is not one of this store's.
        """
        ...

    def select(self, where: JobFilter, *, limit: int, cursor: str | None = None) -> tuple[list[bytes], str | None]:
        """Read only the ids of such a page, for verbs by filter."""
        ...

    def counts(self, queue: str | None = None, *, exact: bool = True) -> dict[JobState, int]:
        """Count jobs by state, all eight named."""
        ...

    def depth(self, queue: str | None = None, *, now: int | None = None) -> int:
        """Count what waits for a worker: pending, and due but not yet promoted; paused queues too."""
        ...

    def waiting(self, *, now: int | None = None) -> list[Waiting]:
        """Tell what `depth` counts by queue and task, in the order of these names, and since when the oldest is due."""
        ...

    def attempts(self, id: bytes) -> list[AttemptRow]:
        """Read a job's ended attempts, oldest first, the newest 50; the success that the job row tells included."""
        ...

    def logs(self, id: bytes) -> list[LogRow]:
        """Read a job's log lines, oldest first."""
        ...

    # -- queues, retention, register, locks

    def queues(self) -> list[QueueInfo]:
        """Read every queue that has settings or jobs, by name, with its counts, all eight states named."""
        ...

    def set_queue(self, name: str, settings: QueueSettings) -> None:
        """Write a queue's settings."""
        ...

    def pause(self, name: str, *, paused: bool) -> None:
        """Pause or resume a queue, whether it is known yet or not; other settings stay."""
        ...

    def expire(self, *, limit: int = 500, now: int | None = None) -> int:
        """Delete jobs whose retention has passed, those first that expired first, with all that belongs to them.

        Returns:
            How many, at most `limit`.
        """
        ...

    def purge(self, finished_before: int, states: frozenset[JobState], *, limit: int = 500) -> int:
        """Delete ended jobs in `states` that finished before a time; return how many, at most `limit`."""
        ...

    def register(self, worker: WorkerRow) -> None:
        """Write a worker's entry, new or known.

        `seen` 0 means the store's now, and so does `started` 0 for a new one; a known one keeps its start.
        """
        ...

    def unregister(self, worker: int) -> None:
        """Delete a worker's entry."""
        ...

    def workers(self, *, seen_after: int | None = None) -> list[WorkerRow]:
        """Read the register, oldest first."""
        ...

    def forget_workers(self, seen_before: int) -> int:
        """Delete entries not seen since a time; return how many."""
        ...

    def acquire(self, lock: str, holder: int, ttl: int, *, now: int | None = None) -> bool:
        """Take or keep a named lock for `ttl` microseconds; False where another holds it."""
        ...

    def release(self, lock: str, holder: int) -> None:
        """Give a named lock back, if it is still the holder's."""
        ...

    # -- hints and health

    def watch(self, on_change: Callable[[], None]) -> Subscription:
        """Call back, from any thread, soon after jobs may have become claimable or changed, here or elsewhere.

        A hint, never the truth: callbacks may be spurious, merged or, rarely, missing. The callback must be short
        and must not call the store.
        """
        ...

    def check(self) -> list[Finding]:
        """Look for trouble that `doctor` should tell."""
        ...


@runtime_checkable
class CallerTransactions(Protocol):
    """Capability: write on the caller's own connection, inside the caller's transaction, without a commit."""

    def insert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert as `Store.insert` does.

        Raises:
            NotSupported: The connection is not one of this store's database.
        """
        ...

    def finish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Write one outcome, fenced; False where the claim is no longer the worker's."""
        ...


@runtime_checkable
class AsyncCallerTransactions(CallerTransactions, Protocol):
    """Capability: the same on a connection that is awaited, of the library's that has such. Sync ones are taken too."""

    async def ainsert_on(self, connection: Any, rows: Sequence[NewRow]) -> InsertAnswer:
        """Insert as `Store.insert` does.

        Raises:
            NotSupported: The connection is not one of this store's database.
        """
        ...

    async def afinish_on(self, connection: Any, worker: int, outcome: Outcome) -> bool:
        """Write one outcome, fenced; False where the claim is no longer the worker's."""
        ...


@runtime_checkable
class OpenEnds(Protocol):
    """Capability: tell that a caller's transaction is still open and holds a job, instead of waiting for its end."""

    def finish_unless_open(self, worker: int, outcome: Outcome) -> bool | None:
        """Write one outcome, fenced; False where the claim is no longer the worker's, None where it cannot be known."""
        ...
