"""What the stores of one name share: jobs, lock, clock, watchers. Owns the table of names and what a fork does to it.

A memory belongs to its process. A child made by `os.fork` begins with an empty one, whatever its parent had: the jobs
stay with the parent, which runs them once, and what the child adds is the child's alone. Settings of queues are kept.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from millrace.clock import Clock, SystemClock
from millrace.errors import ConfigurationError
from millrace.stores.memory.claiming import Claims
from millrace.stores.memory.register import Locks, Register
from millrace.stores.memory.rules import RuleBook
from millrace.stores.memory.schedules import Schedules
from millrace.stores.memory.shelf import Shelf

__all__ = ["Memory", "Watch", "give_back", "take"]


class Watch:
    """One `watch`: its callback, until it is closed."""

    live = True  #: there are no other processes

    def __init__(self, on_change: Callable[[], None], closed: Callable[[Watch], None]) -> None:
        self._turn = threading.RLock()  # a callback may close its own watch
        self._on_change: Callable[[], None] | None = on_change
        self._closed = closed

    def call(self) -> None:
        """Call back, unless it is closed."""
        with self._turn:
            if self._on_change is not None:
                self._on_change()

    def close(self) -> None:
        """Stop; waits for a call that is under way in another thread."""
        with self._turn:
            self._on_change = None
        self._closed(self)

    def after_fork(self) -> None:
        """End in a forked child; the parent's goes on."""
        self._turn = threading.RLock()
        self._on_change = None


class Memory:
    """One memory. Every table in it is read and written under `lock` only."""

    def __init__(self, clock: Clock | None) -> None:
        self.clock = clock or SystemClock()
        self.rules = RuleBook()
        self.users = 0
        self._last = 0
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Begin without jobs."""
        self.lock = threading.Lock()
        self.shelf = Shelf()
        self.claims = Claims(self.shelf, self.rules)
        self.register = Register()
        self.locks = Locks()
        self.schedules = Schedules()
        self._watches: tuple[Watch, ...] = ()

    def now(self) -> int:
        """Return the time, never one before an earlier one. The lock must be held."""
        self._last = max(self._last, self.clock.now())
        return self._last

    def changed(self) -> None:
        """Tell the watchers. The lock must not be held."""
        for watch in self._watches:
            watch.call()

    def watch(self, on_change: Callable[[], None]) -> Watch:
        """Add a watcher."""
        watch = Watch(on_change, self._forget)
        with self.lock:
            self._watches = (*self._watches, watch)
        return watch

    def _forget(self, watch: Watch) -> None:
        with self.lock:
            self._watches = tuple(each for each in self._watches if each is not watch)

    def after_fork(self) -> None:
        """Begin anew in a forked child; the lock may be held by a thread that the child does not have."""
        for watch in self._watches:
            watch.after_fork()
        self._begin()


_all: weakref.WeakSet[Memory] = weakref.WeakSet()
_named: dict[str, Memory] = {}
_naming = threading.Lock()


def take(name: str | None, clock: Clock | None) -> Memory:
    """Return the memory of a name, made where there is none; without a name, a new one. `give_back` it once.

    Raises:
        ConfigurationError: The memory of that name goes by another clock.
    """
    with _naming:
        memory = None if name is None else _named.get(name)
        if memory is None:
            memory = Memory(clock)
        elif clock is not None and clock is not memory.clock:
            raise ConfigurationError(f"memory://{name} is open with another clock; leave clock= out, or give that one")
        if name is not None:
            _named[name] = memory
        memory.users += 1
        return memory


def give_back(name: str | None, memory: Memory) -> None:
    """Say that one user has closed; the last one takes the name and all jobs with it."""
    with _naming:
        memory.users -= 1
        if name is not None and not memory.users and _named.get(name) is memory:
            del _named[name]


def _after_fork() -> None:
    global _naming  # noqa: PLW0603 - the lock may be held by a thread that the child does not have
    _naming = threading.Lock()
    for memory in tuple(_all):
        memory.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
