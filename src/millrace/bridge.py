"""One queue of inserts and one store thread for an app. Owns group commit; knows jobs only as rows.

Whoever writes takes along what all others have queued: neighbouring inserts of threads and of event loops become one
`Store.insert`. There is never a timer: a group is what gathered while the last write was under way. A lone sync caller
finds nobody there and writes at once. Async callers are served by the store thread, which an app starts with its first
async call; everything else that is awaited runs there too, one by one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from millrace.errors import StoreUnavailable
from millrace.messages import NewRow
from millrace.queued import Awaited, Call, Queued, Sleeper, Told, fill, told_first
from millrace.store import Store

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from millrace.loopside import LoopSide

__all__ = ["MAX_GROUP", "MAX_GROUP_BYTES", "Bridge"]

T = TypeVar("T")

MAX_GROUP = 1000
MAX_GROUP_BYTES = 4 * 1024 * 1024

_LOOK, _LEAD, _STOP = object(), object(), object()  # what the store thread may be told besides a call


class Bridge:
    """The way of one app to its store.

    Args:
        store: Where the rows go.

    >>> from millrace.stores import MemoryStore
    >>> bridge = Bridge(MemoryStore())
    >>> isinstance(bridge.insert(NewRow(bytes(16), "add", "default", b"{}")), int)
    True
    >>> bridge.close()
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed = False
        self.reset()
        _living.add(self)

    def reset(self) -> None:
        """Begin with nothing under way, as a forked child must: threads and inserts are its parent's."""
        self._turn = threading.Lock()  #: held by the one who writes
        self._queue: deque[Queued] = deque()  #: taken from only by the holder of the turn
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._box: SimpleQueue[object] = SimpleQueue()
        self._called = False  #: the store thread has been told to look and has not looked yet
        self._sides: dict[AbstractEventLoop, LoopSide] = {}
        self._running_loop: Callable[[], AbstractEventLoop] = _running_loop

    # -- threads

    def insert(self, row: NewRow) -> Told:
        """Insert one row from a thread, together with what others have queued."""
        if self._queue or not self._turn.acquire(False):  # noqa: FBT003 - a keyword would double its cost
            return self._queue_up(Sleeper(row))
        try:
            answer = self._store.insert((row,))
        finally:
            self._pass_on()
        return answer.existing[0] if answer.existing else answer.now

    def _queue_up(self, mine: Sleeper) -> Told:
        self._queue.append(mine)
        if not self._turn.acquire(blocking=False):
            try:
                mine.gate.acquire()
            except BaseException:
                mine.abandoned = True
                if mine.gate.acquire(blocking=False) and mine.leads:
                    self._pass_on()
                raise
            if not mine.leads:
                return mine.answer()
        try:
            while not mine.settled:
                self._write_group()
        except BaseException:
            mine.abandoned = True
            raise
        finally:
            self._pass_on()
        return mine.answer()

    def _pass_on(self) -> None:
        """Give the turn to the first in line, or back where nobody waits."""
        while True:
            self._turn.release()
            # Whoever queued up before the release failed to take the turn, so we must look after it.
            if not self._queue or not self._turn.acquire(blocking=False):
                return
            if not self._queue:
                continue
            first = self._queue[0]
            if self._appoint(first):
                return
            self._write_group()

    def _appoint(self, first: Queued) -> bool:
        """Hand the turn to who waits for `first`; False where nobody is there to take it."""
        if isinstance(first, Awaited):
            with self._starting:
                if self._thread is not None:
                    self._box.put(_LEAD)
                return self._thread is not None
        first.leads = True
        first.gate.release()
        # A thread that was interrupted while it waited cannot lead: one of us two sees that, whoever gets the gate.
        return not (first.abandoned and first.gate.acquire(blocking=False))

    # -- event loops

    def submit(self, row: NewRow) -> Future[Told]:
        """Queue one row from a running event loop; the future tells how it went.

        A future that is cancelled before its group is written stores nothing.
        """
        loop = self._running_loop()
        side = self._sides.get(loop)
        if side is None or self._closed:
            side = self._new_side(loop)
        future: Future[Told] = loop.create_future()
        side.out += 1
        self._queue.append(Awaited(row, future, side))
        if not self._called:
            self._called = True
            self._box.put(_LOOK)
        return future

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function on the store thread, after those that were handed over before."""
        loop = self._running_loop()
        side = self._sides.get(loop)
        if side is None or self._closed:
            side = self._new_side(loop)
        future: Future[T] = loop.create_future()
        side.out += 1
        self._box.put(Call(partial(function, *args, **kwargs), future, side))
        return future

    def _new_side(self, loop: AbstractEventLoop) -> LoopSide:
        from asyncio import get_running_loop

        from millrace.loopside import LoopSide

        with self._starting:
            if self._closed:
                raise StoreUnavailable(f"the app of {self._store.url} is closed; open it again with app.open()")
            self._running_loop = get_running_loop
            for other in list(self._sides):
                if other.is_closed():
                    del self._sides[other]
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="millrace-store", daemon=True)
                self._thread.start()
            side = self._sides[loop] = LoopSide(loop, self._forget)
        return side

    def _forget(self, side: LoopSide) -> None:
        self._sides.pop(side.loop, None)

    # -- the store thread

    def _serve(self) -> None:
        get = self._box.get
        while (item := get()) is not _STOP:
            if isinstance(item, Call):
                item.run()
                del item  # its arguments must not live on until the next call
                continue
            if item is _LOOK:
                self._called = False
                if not self._turn.acquire(blocking=False):
                    continue  # whoever writes now passes the turn on
            self._drain()

    def _drain(self) -> None:
        """Write until nothing is queued, holding the turn, and pass it on."""
        try:
            while self._queue:
                self._write_group()
        finally:
            self._pass_on()

    def close(self) -> None:
        """Write what is queued, end the store thread and refuse async calls from now on. A second call does nothing."""
        with self._starting:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._box.put(_STOP)
        thread.join()
        while not self._box.empty():
            item = self._box.get()
            if isinstance(item, Call):
                item.refuse(StoreUnavailable(f"the app of {self._store.url} was closed before the call was made"))
        self._turn.acquire()
        self._drain()

    # -- groups; only the holder of the turn is here

    def _write_group(self) -> None:
        group = self._take()
        if not group:
            return
        try:
            answer = self._store.insert([each.row for each in group])
        except StoreUnavailable as error:  # nothing was stored, and it is nobody's job that is bad
            for each in group[1:]:
                each.settle(0, _another(error))
            group[0].settle(0, error)
        except Exception as error:  # noqa: BLE001 - whatever a store raises is told to those who asked
            if len(group) > 1:
                self._replay(group)
            else:
                group[0].settle(0, error)
        except BaseException:
            self._put_back(group)
            raise
        else:
            fill(group, answer)

    def _take(self) -> list[Queued]:
        queue, group, room = self._queue, list[Queued](), MAX_GROUP_BYTES
        while queue and len(group) < MAX_GROUP and room > 0:
            each = queue.popleft()
            if isinstance(each, Awaited) and each.future.cancelled():
                each.settle(0, None)
                continue
            group.append(each)
            room -= len(each.row.args)
        return group

    def _replay(self, group: Sequence[Queued]) -> None:
        """Write the rows of a group that was refused one by one, so that a bad one fails alone."""
        for place, each in enumerate(group):
            try:
                told = told_first(self._store.insert((each.row,)))
            except Exception as error:  # noqa: BLE001 - as above, for this one alone
                each.settle(0, error)
            except BaseException:
                self._put_back(group[place:])
                raise
            else:
                each.settle(told, None)

    def _put_back(self, group: Sequence[Queued]) -> None:
        """Queue up again what an interrupt left in doubt: the next in turn writes it, and ids make that harmless."""
        self._queue.extendleft(reversed(group))


def _running_loop() -> AbstractEventLoop:
    """Load asyncio with the first async call: a program without one never pays for it."""
    from asyncio import get_running_loop

    return get_running_loop()


def _another(error: StoreUnavailable) -> StoreUnavailable:
    """Make the same error anew: each who raises it adds to its traceback."""
    same = type(error)(*error.args)
    same.__cause__ = error
    return same


_living: WeakSet[Bridge] = WeakSet()


def _after_fork() -> None:
    for bridge in list(_living):
        bridge.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
