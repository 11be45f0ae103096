"""What any worker does for all: takes back leases, promotes what is due, fires ticks, deletes what expired. Owns when.

It needs no leader. Each verb is one conditional change, harmless when two do it at once; only deleting, which is dear
and never urgent, is done by whoever holds the store's lock for it. The worker's own entry in the register is here too.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from millrace.clock import SECOND, micros
from millrace.errors import MillraceError, StoreUnavailable
from millrace.followups import settle
from millrace.hooks import news_of_rescue
from millrace.records import WorkerRow
from millrace.states import JobState
from millrace.worker.floor import Floor
from millrace.worker.outage import UNUSABLE
from millrace.worker.telling import LOGGER
from millrace.worker.ticker import Ticker
from millrace.worker.uptime import uptime

__all__ = ["Maintenance"]

_ROUND = 1.0  # seconds between two rounds, give or take a fifth
_BEAT = 10.0  # seconds between two signs of life in the register
_FORGET = 60 * SECOND  # after so long without one an entry is deleted
_EXPIRE = 5.0  # seconds between two looks for what has expired
_CHUNK = 500
_SLOW = 0.25  # seconds after which a step that goes on may hold outcomes whose leases have passed
_PAUSE = 0.005  # seconds between two chunks of deletes, for those who claim
_TICKS = 0.02  # seconds between two looks for ticks: what comes meanwhile is fired by one


class Maintenance:
    """The maintenance thread of one worker.

    Args:
        floor: What the worker's rooms share.
        info: Returns what the register tells of the worker.
        subscribe: Asks the store for hints; called again each round, should the store have been out of reach.
    """

    def __init__(self, floor: Floor, info: Callable[[], dict[str, object]], subscribe: Callable[[], None]) -> None:
        self._floor = floor
        self._info = info
        self._subscribe = subscribe
        self._closing = Event()
        self._next_beat = self._next_expire = 0.0
        self._ticker = Ticker(floor.store, floor.hooks, floor.tell)
        self._next_tick: int | None = None  # by the store's time, as far as is known
        self._calm = True  # whether the last round saw nothing that may have kept our own leases or outcomes back
        self._thread = Thread(target=self._run, name="millrace-maintenance", daemon=True)

    def start(self) -> None:
        """Register the worker, and begin.

        What the store does not permit is to be known here, before anything runs: waiting would not help then. So this
        writes where a worker writes, to the register and to the jobs.

        Raises:
            MillraceError: The store refuses, other than by being out of reach for now.
        """
        store = self._floor.store
        try:
            self._beat()
            self._subscribe()
            store.promote(limit=_CHUNK)
            self._tick()
        except StoreUnavailable as error:
            self._floor.outage.hit(error)
        except MillraceError:
            with suppress(MillraceError):  # it may refuse that too
                store.unregister(self._floor.worker)
            raise
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join()

    def unregister(self) -> None:
        """End the worker's entry in the register."""
        try:
            self._floor.store.unregister(self._floor.worker)
        except UNUSABLE as error:
            LOGGER.warning("the worker's entry in the register stays for a minute: %s", error)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._safely(self.round)
            self._floor.notices.swept.tell()
            until = uptime() + _ROUND * random.uniform(0.8, 1.2)
            while not self._closing.wait(self._nap(until)) and uptime() < until:
                self._safely(self._tick)

    def _safely(self, what: Callable[[], None]) -> None:
        try:
            what()
        except UNUSABLE as error:
            self._next_tick = None
            self._floor.outage.hit(error)
        except Exception:  # noqa: BLE001 - a fault must not end the thread: it is told, and tried again
            self._next_tick = None
            LOGGER.exception("a round of maintenance failed; the next one comes in a second")

    def _nap(self, until: float) -> float:
        """Return the seconds until the next round, or the next tick."""
        left = until - uptime()
        if self._next_tick is not None:
            left = min(left, max((self._next_tick - self._floor.store_time()) / SECOND, _TICKS))
        return max(left, 0.0)

    def _tick(self) -> None:
        self._floor.host.settle_schedules()
        self._next_tick = self._ticker.round()

    def round(self) -> None:
        """Do one round."""
        floor, store = self._floor, self._floor.store
        self._subscribe()
        self._rescue_when_calm()
        settle(store)
        while store.promote(limit=_CHUNK) == _CHUNK and not self._closing.is_set():
            pass
        self._tick()
        now = uptime()
        if now >= self._next_beat:
            self._beat()
        if now >= self._next_expire:
            self._next_expire = now + _EXPIRE * random.uniform(0.8, 1.2)
            store.forget_workers(store.now() - _FORGET)
            if store.acquire("expire", floor.worker, micros(_EXPIRE)):
                self._expire()
        if not floor.unsure:
            floor.outage.over()

    def _rescue_when_calm(self) -> None:
        """Rescue, but never jobs of our own, whose leases could not be extended or whose outcomes could not be written.

        So there is no rescue while the store is out of reach or slow to answer, nor after this process stood still,
        until a round later; and leases are judged by a time at which all of this was looked at.
        """
        floor = self._floor
        now = floor.store.now()
        since = floor.steps.under_way
        if floor.outage.open or floor.unsure or uptime() > floor.fresh_until or (since and uptime() - since > _SLOW):
            self._calm = False
        elif self._calm:
            self._rescue(now)
        else:
            self._calm = True

    def _rescue(self, now: int) -> None:
        floor, host = self._floor, self._floor.host
        retention = None if host.retention is None else micros(host.retention)
        dead_retention = None if host.dead_retention is None else micros(host.dead_retention)
        while not self._closing.is_set():
            rescued = floor.store.rescue(retention=retention, dead_retention=dead_retention, limit=_CHUNK, now=now)
            if floor.hooks.hears_jobs:
                floor.tell(news_of_rescue(floor.store, rescued))
            for each in rescued:
                more = {"job_id": each.id.hex(), "task": each.task, "queue": each.queue}
                level = "error" if each.state is JobState.DEAD else "warning"
                getattr(LOGGER, level)(
                    "%s lost the lease of its worker (%d so far) and is %s now",
                    each.task, each.crashes, each.state, extra=more,
                )  # fmt: skip
            if len(rescued) < _CHUNK:
                return

    def _expire(self) -> None:
        while self._floor.store.expire(limit=_CHUNK) == _CHUNK:
            if self._closing.wait(_PAUSE):
                return

    def _beat(self) -> None:
        info = {"host": socket.gethostname(), "pid": os.getpid(), **self._info()}
        name = f"{info['host']}:{info['pid']}"
        self._floor.store.register(WorkerRow(self._floor.worker, name, 0, 0, json.dumps(info).encode()))
        self._floor.beaten_at = uptime()
        self._next_beat = self._floor.beaten_at + _BEAT * random.uniform(0.8, 1.2)
