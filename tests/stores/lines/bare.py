"""A store on a server without verbs, and waiting for what other threads do. Owns no server and no assertion."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from millrace.clock import Clock
from millrace.messages import StepAnswer
from millrace.outcome import Outcome
from millrace.stores.serverhome import ServerHome
from millrace.stores.serverlistener import Audible
from millrace.stores.serverstore import ServerStore

__all__ = ["PATIENCE", "AnyBare", "Bare", "Opens", "opening", "until"]

PATIENCE = 20.0  # seconds: bounds a failure, measures nothing

C = TypeVar("C", bound=Audible)
S = TypeVar("S")
T = TypeVar("T")
B = TypeVar("B", bound="AnyBare")
B_co = TypeVar("B_co", bound="AnyBare", covariant=True)


class Bare(ServerStore[C, S]):
    """A store whose ways to the server may be used from outside. Stands before a store's base among its parents."""

    def write(self, body: Callable[[S], T], *, now: int | None = None, repeatable: bool = False) -> T:
        """Run a body that writes."""
        return self._write(body, now=now, repeatable=repeatable)

    def read(self, body: Callable[[S], T], *, now: int | None = None) -> T:
        """Run a body that reads."""
        return self._read(body, now=now)

    def beat(self, body: Callable[[S], T], *, within: float) -> T:
        """Run a body on the connection for beats."""
        return self._beat(body, within=within)

    def step(self, body: Callable[[S], StepAnswer], worker: int, outcomes: Sequence[Outcome] = ()) -> StepAnswer:
        """Run a worker's step."""
        return self._step(body, worker, outcomes)

    def changed(self, *queues: str) -> None:
        """Tell that something was done."""
        self._changed(queues)

    def begin_work(self, worker: int) -> None:
        """Let a worker begin."""
        self._begin_work(worker)

    def end_work(self, worker: int) -> None:
        """Let a worker end."""
        self._end_work(worker)

    def let_go(self, worker: int, id: bytes, claim: int) -> None:
        """Note that a worker has lost a job."""
        self._let_go(worker, id, claim)

    @property
    def home(self) -> ServerHome[C]:
        """What it has open."""
        return self._home


AnyBare = Bare[Any, Any]


class Opens(Protocol[B_co]):
    """Opens a store by URL."""

    def __call__(self, url: str, clock: Clock | None = None) -> B_co: ...


@contextmanager
def opening(bare: Callable[[str, Clock | None], B]) -> Generator[Opens[B]]:
    """Open stores in a `with` block, and close them at its end."""
    stores: list[B] = []

    def open_one(url: str, clock: Clock | None = None) -> B:
        stores.append(bare(url, clock))
        return stores[-1]

    try:
        yield open_one
    finally:
        for store in stores:
            store.close()


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.005)
