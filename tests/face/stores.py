"""A store that tests can hold up, break and watch. What it lets through, a memory store gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from millrace.messages import InsertAnswer, NewRow
from millrace.stores import MemoryStore

PATIENCE = 10.0  # seconds: bounds a failure, measures nothing


class Staged:
    """A memory store whose inserts are counted, may be held at a gate and may be made to fail.

    Each insert first says that it has come (`arrived`), then waits for `let_go`, then asks `refuse` for an error.
    """

    def __init__(self, refuse: Callable[[Sequence[NewRow]], BaseException | None] = lambda _: None) -> None:
        self.inner = MemoryStore()
        self.refuse = refuse
        self.groups: list[int] = []
        self.arrived = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.let_go.set()

    def insert(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        self.groups.append(len(rows))
        self.arrived.release()
        assert self.let_go.wait(PATIENCE)
        error = self.refuse(rows)
        if error is not None:
            raise error
        return self.inner.insert(rows, now=now)

    def await_insert(self) -> None:
        assert self.arrived.acquire(timeout=PATIENCE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
