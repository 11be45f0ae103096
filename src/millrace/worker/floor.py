"""What the rooms of one running worker share: its store, its number, the attempts under way, the outcomes to write.

A floor lasts from a start to a stop, or for one drain; then it is dropped, with all that was kept in it.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from millrace.ids import new_worker_id
from millrace.job import JobRow
from millrace.messages import Beat
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.worker.attempt import Attempt, Seat
from millrace.worker.news import News, Tell
from millrace.worker.notes import Notes
from millrace.worker.notice import Notices
from millrace.worker.outage import UNUSABLE, Outage
from millrace.worker.plan import Plans
from millrace.worker.summary import Tally
from millrace.worker.telling import LOGGER, fields
from millrace.worker.uptime import uptime

if TYPE_CHECKING:
    from millrace.worker.host import Host
    from millrace.worker.keeper import Keeper
    from millrace.worker.steps import Steps

__all__ = ["Floor", "last_chance"]


class _Nowhere:
    """The seat of a job that only waits."""

    waits = False
    patience = 0.0

    def stop(self, _: Attempt) -> None:
        """Nothing runs that could be told."""

    def give_up(self, _: Attempt) -> bool:
        """Nothing runs that could be left."""
        return False

    def replace(self, _: Attempt) -> None:
        """There is no slot."""


def last_chance(row: JobRow) -> bool:
    """Tell whether a job is dead with the next lease it loses, having lost one: it runs alone in its process.

    >>> row = JobRow(ref=1, id=bytes(16), task="t", queue="q", args=b"{}", crashes=2, max_crashes=3)
    >>> last_chance(row)
    True
    """
    return row.crashes > 0 and row.crashes == row.max_crashes - 1


class Floor:
    """See the module. Its sets and queues are shared by all threads; each of their operations used here is atomic."""

    keeper: Keeper
    steps: Steps

    def __init__(
        self, host: Host, notices: Notices, *, tasks: frozenset[str] | None, grace: float, tell: Tell | None = None
    ) -> None:
        self.host = host
        self.store = host.store
        self.worker = new_worker_id()
        self.pid = os.getpid()  #: another process is a fork of this one, and no worker
        self.hooks = host.hooks
        self.plans = Plans(host.registry, tasks, self.hooks)
        self.grace = grace  #: seconds that an attempt has to answer once it was told to stop
        self.running: set[Attempt] = set()  #: begun and not ended; whoever removes one owns its end
        self.done: deque[Outcome] = deque()  #: to be written
        self.notices = notices
        self.outage = Outage(notices)
        self.tally = Tally()
        self.notes = Notes(self.store, self.worker, self.outage, self._call_keeper)
        self.expected: dict[tuple[bytes, int], Attempt] = {}  #: completed in their own transaction, by id and claim
        self.recalled: dict[bytes, int] = {}  #: claimed, not begun, and cancelled: never to begin; id to claim
        self.fresh_until = 0.0  #: by `uptime`; later than this, leases are to be looked at before anything begins
        self.skew = self.store.now() - int(uptime() * 1e6)
        self.talks = False  #: whether somebody is told of successes: the log, or middleware
        self.unsure = False  #: leases could not be extended: nothing more is claimed until they can
        self.held: Attempt | None = None  #: claimed, and kept until it can run alone
        self.tell: Tell = tell or self.hooks.tell  #: tells listeners what has happened
        self.news: News | None = None  #: what there is to tell of attempts; None while nobody listens
        self._listen_in()
        self.beaten_at = uptime()  #: its last sign of life in the register, by `uptime`; at first, its making
        self.slots = 0  #: how many jobs may run at once

    def store_time(self) -> int:
        """Return about what the store's clock says, in microseconds, without asking it."""
        return int(uptime() * 1e6) + self.skew

    def heard(self, now: int) -> None:
        """Take the store's time from an answer, and look at what may have changed: tasks, the level of the log."""
        self.skew = now - int(uptime() * 1e6)
        self.talks = LOGGER.isEnabledFor(logging.DEBUG) or bool(self.hooks.afters)
        self.plans.refresh()
        self._listen_in()

    def _listen_in(self) -> None:
        if self.hooks.hears_attempts and self.news is None:
            self.news = self.notes.news = News(self)

    def hold(self, row: JobRow) -> None:
        """Keep a job's lease while it waits to run alone."""
        self.held = Attempt(row, self.plans[row.task], _Nowhere(), self)

    def let_go(self) -> None:
        """Keep it no longer."""
        self.held = None

    def lost(self, ended: Sequence[JobRow | Outcome]) -> None:
        """Count attempts whose lease is another's, by what there is of each: its job, or its outcome."""
        self.tally.lost += len(ended)
        self.notices.lost.tell(len(ended))

    def begin(self, row: JobRow, seat: Seat) -> Attempt | None:
        """Begin an attempt on a job; None where it may not begin, and what there is to tell of it is told."""
        plan = self.plans[row.task]
        if row.options is not None:
            plan = plan.over(row.options)
        attempt = Attempt(row, plan, seat, self)
        self.running.add(attempt)
        now = uptime()
        if plan.timeout is not None or row.options is not None:
            self._time(attempt, now)
        if (now > self.fresh_until or self.recalled) and not self._may_begin(attempt, now):
            return None
        if self.news is not None:
            self.news.begun(row)
        return attempt

    def _time(self, attempt: Attempt, now: float) -> None:
        """Set the deadline of an attempt that begins, and see that the keeper looks in time for it and its lease."""
        plan = attempt.plan
        if plan.timeout is not None:
            attempt.deadline = now + plan.timeout
        at = min(attempt.deadline, now + plan.lease / 3e6)
        if at < self.keeper.wakes_at:
            self.keeper.call(at)

    def _may_begin(self, attempt: Attempt, now: float) -> bool:
        """Look closer at a job that is about to begin: it was recalled, or the process stood still for a while."""
        row = attempt.row
        state: JobState | None = JobState.RUNNING
        if self.recalled.get(row.id) == row.claim:
            state = JobState.CANCELLING
        elif now > self.fresh_until:
            state = self._looked_at(row, attempt.plan.lease)
        if state is JobState.RUNNING:
            return True
        self.running.discard(attempt)
        if state is None:
            self.lost([row])
            LOGGER.warning("%s lost its lease before it began", row.task, extra=fields(row))
        else:
            self.give_back(row)
        return False

    def _looked_at(self, row: JobRow, lease: int) -> JobState | None:
        """Extend a lease, and return what the store says of the job; what cannot be known now shall not begin."""
        try:
            return self.store.extend(self.worker, [Beat(row.ref, row.id, row.claim, lease=lease)])[0]
        except UNUSABLE as error:
            self.outage.hit(error)
            return JobState.CANCELLING

    def leave(self) -> None:
        """Drop it: nothing runs on it any more."""

    def give_back(self, row: JobRow) -> None:
        """Return a job that has not begun."""
        plan = self.plans.get(row.task)
        retention = plan.retention if plan is not None and row.options is None else self._retention(row)
        self.done.append(Outcome.returned(row, retention=retention))
        self.notices.returned.tell()

    def _retention(self, row: JobRow) -> int | None:
        spec = self.host.registry.get(row.task)
        return None if spec is None else spec.terms_of(row.options).retention_micros

    def _call_keeper(self, seconds: float) -> None:
        self.keeper.call(uptime() + seconds)
