"""Waiting for jobs to end. Owns one thread and one watch of the store for all who wait, threads and event loops alike.

The store's hints only say "look now"; a jittered look under them finds what a hint has missed. All waited-for jobs are
read in one call. The thread ends, and the watch with it, some seconds after the last waiter has gone.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

from millrace.errors import StoreUnavailable
from millrace.job import JobRow
from millrace.states import FINAL
from millrace.store import MAX_PAGE, Store

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

__all__ = ["Ended", "Waiter"]

_LOOK_SECONDS = 0.5  #: between two looks without a hint, give or take a fifth
_SPACING_SECONDS = 0.001  #: between two looks, however many hints there are
_LINGER_SECONDS = 10.0  #: for which the thread stays when nobody waits

Ended = JobRow | None  #: the job as it ended, None where there is no such job (any more)


class _Slot:
    """One who waits for one job."""

    __slots__ = ("error", "future", "gate", "id", "loop", "row")

    def __init__(self, id: bytes, future: Future[Ended] | None = None, loop: AbstractEventLoop | None = None) -> None:
        self.id = id
        self.row: Ended = None
        self.error: Exception | None = None
        self.future = future
        self.loop = loop
        self.gate = threading.Event()

    def settle(self, row: Ended, error: Exception | None) -> None:
        self.row, self.error = row, error
        self.gate.set()
        if self.loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self.future is None or self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.row)
        else:
            self.future.set_exception(self.error)


class Waiter:
    """Who waits for the jobs of one store.

    >>> from millrace.stores import MemoryStore
    >>> waiter = Waiter(MemoryStore())
    >>> waiter.wait(bytes(16), timeout=1) is None
    True
    >>> waiter.close()
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed = False
        self.reset()
        _living.add(self)

    def reset(self) -> None:
        """Begin with nobody waiting, as a forked child must."""
        self._lock = threading.Lock()
        self._hint = threading.Event()
        self._slots: set[_Slot] = set()
        self._thread: threading.Thread | None = None

    def wait(self, id: bytes, timeout: float | None) -> Ended:
        """Sleep until the job has ended.

        Raises:
            TimeoutError: It had not ended in `timeout` seconds.
        """
        slot = _Slot(id)
        self._add(slot)
        try:
            if not slot.gate.wait(timeout):
                raise TimeoutError
        finally:
            self._drop(slot)
        if slot.error is not None:
            raise slot.error
        return slot.row

    async def until_ended(self, id: bytes) -> Ended:
        """Await the job's end."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        future: Future[Ended] = loop.create_future()
        slot = _Slot(id, future, loop)
        self._add(slot)
        try:
            return await future
        finally:
            self._drop(slot)

    def _add(self, slot: _Slot) -> None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the app of {self._store.url} is closed; open it again with app.open()")
            self._slots.add(slot)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="millrace-waiter", daemon=True)
                self._thread.start()
        self._hint.set()

    def _drop(self, slot: _Slot) -> None:
        with self._lock:
            self._slots.discard(slot)

    def _watch(self) -> None:
        try:
            subscription = self._store.watch(self._look_soon)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            with self._lock:
                self._thread = None  # the next who waits tries again
            self._settle_all(error)
            return
        try:
            while self._wait_for_reason():
                self._look()
                time.sleep(_SPACING_SECONDS)
        finally:
            subscription.close()

    def _look_soon(self) -> None:
        if self._slots:
            self._hint.set()

    def _wait_for_reason(self) -> bool:
        """Sleep until it is time to look; False where it is time to go."""
        pause = _LOOK_SECONDS * random.uniform(0.8, 1.2) if self._slots else _LINGER_SECONDS
        hinted = self._hint.wait(pause)
        self._hint.clear()
        with self._lock:
            if self._closed or not (self._slots or hinted):
                self._thread = None
                return False
        return True

    def _look(self) -> None:
        """Read all jobs that are waited for, and tell those whose job has ended or is gone."""
        with self._lock:
            ids = list({slot.id for slot in self._slots})
        try:
            ended = {id: row for id, row in self._read(ids) if row is None or row.state in FINAL}
        except Exception as error:  # noqa: BLE001 - as above
            self._settle_all(error)
            return
        with self._lock:
            done = [slot for slot in self._slots if slot.id in ended]
            self._slots.difference_update(done)
        for slot in done:
            slot.settle(ended[slot.id], None)

    def _read(self, ids: Sequence[bytes]) -> Iterator[tuple[bytes, JobRow | None]]:
        for start in range(0, len(ids), MAX_PAGE):
            chunk = ids[start : start + MAX_PAGE]
            yield from zip(chunk, self._store.get(chunk), strict=True)

    def _settle_all(self, error: Exception) -> None:
        with self._lock:
            left = list(self._slots)
            self._slots.clear()
        for slot in left:
            slot.settle(None, error)

    def close(self) -> None:
        """End the thread and let nobody wait any more. A second call does nothing."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        self._hint.set()
        if thread is not None:
            thread.join()
        self._settle_all(StoreUnavailable(f"the app of {self._store.url} was closed while a job was waited for"))


_living: WeakSet[Waiter] = WeakSet()


def _after_fork() -> None:
    for waiter in list(_living):
        waiter.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
