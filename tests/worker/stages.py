"""A store that tests can put out of reach and watch. What it lets through, a real one gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from millrace.errors import StoreUnavailable
from millrace.messages import Beat, ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores import MemoryStore
from tests.worker.waiting import PATIENCE


class Stage:
    """A memory store that counts its steps, and whose verbs of the worker fail while `broken` says so.

    Attributes:
        broken: Called with the name of a verb before it; what it returns is raised.
        claims: The limits asked for, by step that asked for any.
        steps: What each step wrote, outcomes by job id.
    """

    def __init__(self, broken: Callable[[str], BaseException | None] = lambda _: None) -> None:
        self.inner = MemoryStore()
        self.broken = broken
        self.claims: list[list[int]] = []
        self.written: list[Outcome] = []
        self.extended: list[bytes] = []
        self.stalled = threading.Event()  #: set while a step waits for `go`
        self.go = threading.Event()
        self.go.set()

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        if not self.go.is_set():
            self.stalled.set()
            assert self.go.wait(PATIENCE)
        self._check("step")
        answer = self.inner.step(worker, outcomes, claims, now=now)
        self.written += outcomes
        if claims:
            self.claims.append([claim.limit for claim in claims])
        return answer

    def extend(self, worker: int, beats: Sequence[Beat], *, now: int | None = None) -> list[JobState | None]:
        self._check("extend")
        self.extended += [beat.id for beat in beats if beat.lease is not None]
        return self.inner.extend(worker, beats, now=now)

    def cancelling(self, worker: int) -> list[tuple[bytes, int]]:
        self._check("cancelling")
        return self.inner.cancelling(worker)

    def rescue(self, **options: Any) -> Any:
        self._check("rescue")
        return self.inner.rescue(**options)

    def promote(self, **options: Any) -> int:
        self._check("promote")
        return self.inner.promote(**options)

    def register(self, worker: Any) -> None:
        self._check("register")
        self.inner.register(worker)

    def watch(self, on_change: Callable[[], None]) -> Any:
        self._check("watch")
        return self.inner.watch(on_change)

    def log(self, worker: int, lines: Any) -> list[bool]:
        self._check("log")
        return self.inner.log(worker, lines)

    def _check(self, verb: str) -> None:
        error = self.broken(verb)
        if error is not None:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def out_of_reach(*verbs: str) -> Callable[[str], BaseException | None]:
    """Make verbs fail, all where none is named."""

    def broken(verb: str) -> BaseException | None:
        return StoreUnavailable("the disk is full") if not verbs or verb in verbs else None

    return broken
