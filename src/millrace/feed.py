"""Following jobs over the store. Owns one thread and one watch of the store for all who follow in this process.

The store's hints say "look now"; looks under them, quicker while something runs, find what no hint tells. A look rests
for a multiple of the time that it took, so that followers cannot take more than a small part of a store.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from millrace.crowd import Crowd
from millrace.errors import JobNotFound, StoreUnavailable
from millrace.events import JobEvent
from millrace.states import ACTIVE, JobState
from millrace.store import Store
from millrace.trail import Trail

if TYPE_CHECKING:
    import asyncio
    from asyncio import AbstractEventLoop

__all__ = ["Feed", "Follower", "Following", "JobSight"]

_QUIET = 0.5  #: seconds between two looks without a hint, give or take a fifth
_QUICK = 0.015  #: the same while something runs, or has just happened
_RECENT = 2.0  #: seconds for which something has just happened
_SPACING = 0.005  #: seconds between two looks, however many hints there are
_REST = 10  #: times as long as a look took does it rest
_MOST_WAITING = 100_000  #: events that wait for one follower


class Sight(Protocol):
    """What one or several followers look at."""

    @property
    def busy(self) -> bool:
        """Whether anything of it runs."""
        ...

    def look(self) -> list[JobEvent]:
        """Return what has happened since the last look."""
        ...


class JobSight:
    """One job, from its enqueue to its end.

    Args:
        store: Where it is.
        id: Which.

    Raises:
        JobNotFound: By a first look at one that is not there.
    """

    def __init__(self, store: Store, id: bytes) -> None:
        self._store = store
        self._id = id
        self._trail = Trail()
        self.ended = False  #: whether there is nothing more to come

    @property
    def busy(self) -> bool:
        """Whether it runs, or may at any moment."""
        row = self._trail.row
        return not self.ended and (row is None or row.state is JobState.PENDING or row.state in ACTIVE)

    def look(self) -> list[JobEvent]:
        """Return what has happened to it since the last look."""
        store, trail = self._store, self._trail
        row = store.get([self._id])[0]
        if row is None:
            self.ended = True
            if trail.row is None:
                raise JobNotFound(
                    f"no job {self._id.hex()} in {store.url}: it was deleted, or its retention has passed"
                )
            return trail.gone(store.now())
        if row == trail.row and row.state not in ACTIVE:
            return []
        attempts, lines = store.attempts(self._id), store.logs(self._id)
        events = trail.take(row, store.now(), attempts, lines)
        self.ended = trail.over
        return events


class Follower:
    """One who follows: what waits for it, and how it is woken. Ends where its job has ended."""

    def __init__(self, feed: Feed, sight: Sight, loop: AbstractEventLoop | None = None) -> None:
        self.sight = sight
        self._feed = feed
        self._events: deque[JobEvent] = deque(maxlen=_MOST_WAITING)
        self._error: Exception | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._loop = loop
        self._woken: asyncio.Event | None = None
        if loop is not None:
            import asyncio

            self._woken = asyncio.Event()

    def give(self, events: Sequence[JobEvent], error: Exception | None = None, *, ended: bool = False) -> None:
        """Hand over what has happened; of more than a hundred thousand that wait the oldest are dropped."""
        if not (events or error or ended):
            return
        with self._changed:
            self._events.extend(events)
            self._error = self._error or error
            self._ended = self._ended or ended
            self._changed.notify()
        if self._loop is not None and self._woken is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody follows
                self._loop.call_soon_threadsafe(self._woken.set)

    def _take(self) -> list[JobEvent] | None:
        """Return what waits; None where nothing more will come. The lock is held."""
        taken = list(self._events)
        self._events.clear()
        if taken:
            return taken
        if self._error is not None:
            raise self._error
        return None if self._ended else []

    def wait(self) -> list[JobEvent] | None:
        """Sleep until something has happened, and return it; None where nothing more will come."""
        with self._changed:
            while (taken := self._take()) == []:
                self._changed.wait()
        return taken

    async def until_more(self) -> list[JobEvent] | None:
        """Await the same on the loop that it was made for."""
        while self._woken is not None:
            self._woken.clear()
            with self._changed:
                taken = self._take()
            if taken != []:
                return taken
            await self._woken.wait()
        return None

    def leave(self) -> None:
        """Follow no more."""
        self._feed.leave(self)


class Following(Iterator[JobEvent]):
    """What `app.events` gives: an iterator that waits for what happens, until it is dropped or closed."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._taken: deque[JobEvent] = deque()

    def __next__(self) -> JobEvent:
        if not self._taken:
            more = self._follower.wait()
            if more is None:
                self.close()
                raise StopIteration
            self._taken.extend(more)
        return self._taken.popleft()

    def close(self) -> None:
        """Follow no more."""
        self._follower.leave()

    def __del__(self) -> None:
        self.close()


class Feed:
    """All who follow jobs of one store.

    >>> from millrace.stores import MemoryStore
    >>> feed = Feed(MemoryStore())
    >>> feed.close()
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed = False
        self.reset()
        _living.add(self)

    def reset(self) -> None:
        """Begin with nobody following, as a forked child must."""
        self._lock = threading.RLock()  # re-entrant: what is dropped leaves, in whatever thread that is noticed
        self._hint = threading.Event()
        self._followers: list[Follower] = []
        self._crowds: dict[str | None, Crowd] = {}
        self._thread: threading.Thread | None = None

    def follow_job(self, id: bytes, loop: AbstractEventLoop | None = None) -> Follower:
        """Follow one job, from its enqueue to its end."""
        return self._join(Follower(self, JobSight(self._store, id), loop))

    def follow_queue(self, queue: str | None, loop: AbstractEventLoop | None = None) -> Follower:
        """Follow the jobs of a queue, or all, from now on."""
        with self._lock:
            crowd = self._crowds.get(queue)
        if crowd is None:  # outside of the lock: it reads
            crowd = Crowd(self._store, queue)
            with self._lock:
                crowd = self._crowds.setdefault(queue, crowd)
        return self._join(Follower(self, crowd, loop))

    def _join(self, follower: Follower) -> Follower:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the app of {self._store.url} is closed; open it again with app.open()")
            self._followers.append(follower)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="millrace-feed", daemon=True)
                self._thread.start()
        self._hint.set()
        return follower

    def leave(self, follower: Follower) -> None:
        """Follow no more."""
        with self._lock:
            if follower in self._followers:
                self._followers.remove(follower)
            used = [each.sight for each in self._followers]
            self._crowds = {queue: crowd for queue, crowd in self._crowds.items() if crowd in used}
        self._hint.set()

    def close(self) -> None:
        """End the thread, and let nobody follow any more. A second call does nothing."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._hint.set()
        if thread is not None:
            thread.join()
        self._fail(StoreUnavailable(f"the app of {self._store.url} was closed while its events were followed"))

    # -- the thread

    def _watch(self) -> None:
        try:
            subscription = self._store.watch(self._hint.set)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who follow must hear of it
            with self._lock:
                self._thread = None
            self._fail(error)
            return
        pause = 0.0
        try:
            while self._wait_for_reason(pause):
                pause = self._look_around()
        finally:
            subscription.close()

    def _wait_for_reason(self, pause: float) -> bool:
        """Sleep until it is time to look; False where nobody follows any more."""
        self._hint.wait(pause)
        self._hint.clear()
        with self._lock:
            if self._closed or not self._followers:
                self._thread = None
                return False
        return True

    def _look_around(self) -> float:
        """Look once for all, and rest; return for how long to wait for a hint."""
        begun = time.monotonic()
        with self._lock:
            followers = list(self._followers)
        news: dict[int, tuple[Sequence[JobEvent], Exception | None]] = {}
        for follower in followers:
            sight = follower.sight
            if id(sight) not in news:
                news[id(sight)] = self._seen(sight)
            events, error = news[id(sight)]
            follower.give(events, error, ended=isinstance(sight, JobSight) and sight.ended)
        now = time.monotonic()
        if any(events for events, _ in news.values()):
            self._happened = now
        busy = now - self._happened < _RECENT or any(follower.sight.busy for follower in followers)
        time.sleep(max(_SPACING, _REST * (now - begun)))
        return _QUICK if busy else _QUIET * random.uniform(0.8, 1.2)

    _happened = 0.0

    @staticmethod
    def _seen(sight: Sight) -> tuple[Sequence[JobEvent], Exception | None]:
        if isinstance(sight, JobSight) and sight.ended:
            return (), None
        try:
            return sight.look(), None
        except Exception as error:  # noqa: BLE001 - as above
            return (), error

    def _fail(self, error: Exception) -> None:
        with self._lock:
            left, self._followers = self._followers, []
            self._crowds = {}
        for follower in left:
            follower.give((), error)


_living: WeakSet[Feed] = WeakSet()


def _after_fork() -> None:
    for feed in list(_living):
        feed.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
