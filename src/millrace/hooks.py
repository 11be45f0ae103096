"""The hooks of one app: what its user has hung in around enqueues and attempts, and who hears what happens.

Owns how they are called, and that one which fails can neither lose a job nor stop what it was hung into. All tuples
here are replaced, never changed, so that they may be read without a lock; where there is none, a look at one is all
that it costs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from inspect import iscoroutine
from threading import Lock, get_ident, local
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from millrace.context import JobContext
from millrace.eventmaker import rescued
from millrace.events import (
    AttemptEnd,
    AttemptEnded,
    Event,
    JobEnqueued,
    JobEvent,
    JobLogged,
    JobProgress,
    JobStarted,
)
from millrace.messages import NewRow, Rescued

if TYPE_CHECKING:
    from millrace.store import Store

__all__ = [
    "After",
    "Around",
    "Await",
    "Hooks",
    "Listener",
    "gathering",
    "in_own_loop",
    "name_of",
    "news_of_rescue",
    "on_loop",
    "told_after",
]

T = TypeVar("T")

Before = Callable[[Any], Any]  #: from the new job to the new job, or None where it stays as it is
Around = Callable[[JobContext], AbstractContextManager[Any] | AbstractAsyncContextManager[Any]]
After = Callable[[JobContext, AttemptEnd], object]
Await = Callable[[Coroutine[Any, Any, Any]], object]  #: waits for what an async listener does

_log = logging.getLogger("millrace")
_gathering = local()

_OF_ATTEMPTS: tuple[type[Event], ...] = (JobStarted, JobLogged, JobProgress, *AttemptEnded.__subclasses__())


class Listener(msgspec.Struct, frozen=True):
    """Who hears of some kinds of event; what it returns is awaited where it is a coroutine.

    >>> Listener(print, (Event,)).kinds
    (<class 'millrace.events.Event'>,)
    """

    function: Callable[[Any], Any]
    kinds: tuple[type[Event], ...]


class Hooks:
    """See the module.

    >>> hooks = Hooks()
    >>> hooks.listen(Listener(lambda event: print(event.worker), (Event,)))
    >>> from datetime import UTC, datetime
    >>> from millrace.events import WorkerStarted
    >>> hooks.tell([WorkerStarted(at=datetime(2026, 1, 1, tzinfo=UTC), worker="ff")])
    ff
    """

    def __init__(self) -> None:
        self.befores: tuple[Before, ...] = ()  #: of an enqueue, the first one is asked first
        self.arounds: tuple[Around, ...] = ()  #: of an attempt, the first one is the outermost
        self.afters: tuple[After, ...] = ()  #: of an attempt, the first one is told last
        self.change_row: Callable[[NewRow], NewRow] | None = None  #: takes the row of a tick through `befores`
        self.hears_jobs = False  #: whether any job's event is listened to
        self.hears_enqueues = False
        self.hears_attempts = False
        self.log_level: int | None = logging.INFO  #: from which on lines of `logging` reach a job's log; None: none do
        self._listeners: tuple[Listener, ...] = ()
        self._by_kind: dict[type[Event], tuple[Listener, ...]] = {}
        self._changing = Lock()

    # -- middleware

    def wrap(self, *, before: Before | None, around: Around | None, after: After | None) -> None:
        """Hang one middleware in, within those that are there."""
        with self._changing:
            if before is not None:
                self.befores = (*self.befores, before)
            if around is not None:
                self.arounds = (*self.arounds, around)
            if after is not None:
                self.afters = (after, *self.afters)

    def tell_after(self, context: JobContext, event: AttemptEnd) -> None:
        """Tell middleware how an attempt has ended; one that fails is told in the log and changes nothing."""
        for after in self.afters:
            try:
                after(context, event)
            except BaseException:  # noqa: BLE001 - whatever it is, the outcome must still be written
                _log.exception("after_attempt of %s failed; the attempt has ended all the same", name_of(after))

    # -- listeners

    def listen(self, listener: Listener) -> None:
        """Add one who hears."""
        with self._changing:
            self._listeners = (*self._listeners, listener)
            self._by_kind = {}
            self.hears_enqueues = bool(self.listeners_of(JobEnqueued))
            self.hears_attempts = any(self.listeners_of(kind) for kind in _OF_ATTEMPTS)
            self.hears_jobs = any(issubclass(k, JobEvent) or k is Event for each in self._listeners for k in each.kinds)

    def listeners_of(self, kind: type[Event]) -> tuple[Listener, ...]:
        """Return who hears of a kind, in the order in which they were added."""
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(each for each in self._listeners if issubclass(kind, each.kinds))
            self._by_kind[kind] = found
        return found

    def tell(self, events: Iterable[Event], wait: Await | None = None) -> None:
        """Call who hears of events, in this thread; one who fails is told in the log, and the others are called.

        Args:
            events: What has happened, in order.
            wait: Waits for async listeners; without it each runs on an event loop of its own.
        """
        gathered: list[Event] | None = getattr(_gathering, "events", None)
        if gathered is not None:
            gathered.extend(events)
            return
        for event in events:
            for listener in self.listeners_of(type(event)):
                try:
                    done = listener.function(event)
                    if iscoroutine(done):
                        (wait or in_own_loop)(done)
                except (Exception, SystemExit):  # noqa: BLE001 - it is the user's code, and the job is stored
                    _tell_failure(listener, event)

    async def atell(self, events: Iterable[Event]) -> None:
        """Do the same on a running event loop, which awaits async listeners."""
        for event in events:
            for listener in self.listeners_of(type(event)):
                try:
                    done = listener.function(event)
                    if iscoroutine(done):
                        await done
                except (Exception, SystemExit):  # noqa: BLE001 - as above
                    _tell_failure(listener, event)


def gathering(function: Callable[[], T], events: list[Event]) -> Callable[[], T]:
    """Return a function during which nobody is told: what happens is put into `events`, to be told by who calls it.

    >>> gathering(list, [])()
    []
    """

    def gather() -> T:
        _gathering.events = events
        try:
            return function()
        finally:
            _gathering.events = None

    return gather


async def told_after(hooks: Hooks, call: Callable[[Callable[[], T]], Awaitable[T]], function: Callable[[], T]) -> T:
    """Await a verb that runs in another thread, and tell here, on the caller's event loop, what happened in it.

    Args:
        hooks: Who is told.
        call: Runs a function in that thread.
        function: The verb.
    """
    if not hooks.hears_jobs:
        return await call(function)
    events: list[Event] = []
    try:
        return await call(gathering(function, events))
    finally:
        await hooks.atell(events)


def on_loop(loop: Any) -> Await:
    """Return what waits for async listeners in other threads while an event loop runs in this one, on that loop."""
    owner = get_ident()

    def wait(work: Coroutine[Any, Any, Any]) -> None:
        if get_ident() == owner:  # it cannot wait for itself
            in_own_loop(work)
            return
        from asyncio import run_coroutine_threadsafe

        run_coroutine_threadsafe(work, loop).result()

    return wait


def news_of_rescue(store: Store, rescues: Sequence[Rescued]) -> list[JobEvent]:
    """Return what there is to tell of lost leases that were taken back."""
    if not rescues:
        return []
    rows = store.get([each.id for each in rescues])
    now = store.now()
    return [event for each, row in zip(rescues, rows, strict=True) for event in rescued(each, row, now)]


def _tell_failure(listener: Listener, event: Event) -> None:
    _log.exception("%s failed when it was told %r; nothing else changes", name_of(listener.function), event)


def name_of(function: object) -> str:
    """Return what a function is called in its module.

    >>> name_of(Hooks.tell)
    'Hooks.tell'
    """
    return getattr(function, "__qualname__", None) or repr(function)


def in_own_loop(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end on a loop of its own: here, or in another thread where a loop runs in this one.

    >>> import asyncio
    >>> in_own_loop(asyncio.sleep(0))
    """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
