"""What the workers of this process hold, for the moment when the reply to a step is lost.

Then nobody knows whether its outcomes were written and what it claimed. Outcomes are sent again and known by their
claim. Jobs claimed for a worker that never heard of it are given back: they are those the server shows as the worker's
and this record does not. Owns that record; the statement that gives back is run by whom it is handed to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager

from millrace.messages import StepAnswer
from millrace.outcome import Outcome

__all__ = ["ENOUGH", "Held", "WorkerHold"]

ENOUGH = 5000  #: jobs held by one worker: more than any has at once, as a rule


class WorkerHold:
    """What one worker holds."""

    def __init__(self) -> None:
        self._claims: dict[bytes, int] = {}
        self._doubts: set[tuple[bytes, int]] = set()  # attempts whose outcome was sent, and no reply came
        self._stray = False  # jobs may have been claimed for it that it knows nothing of
        self._under_way = 0
        self._mending = False
        self._turn = threading.Condition()
        self._enough = ENOUGH

    @contextmanager
    def step(self, mend: Callable[[Sequence[bytes]], None]) -> Generator[None]:
        """Be in a step for the length of a `with` block; where claims are astray, give them back first.

        Args:
            mend: Gives back what the server shows as the worker's, but for the ids it is handed. No step is under way
                meanwhile: what another one has just claimed would be given back too.
        """
        self._enter(mend)
        try:
            yield
        finally:
            with self._turn:
                self._under_way -= 1
                if self._mending:
                    self._turn.notify_all()

    def _enter(self, mend: Callable[[Sequence[bytes]], None]) -> None:
        with self._turn:
            while self._mending:
                self._turn.wait()
            if not self._stray:
                self._under_way += 1
                return
            self._mending = True
            while self._under_way:
                self._turn.wait()
            self._under_way += 1
        try:
            mend(list(self._claims))
            self._stray = False
        except BaseException:
            with self._turn:
                self._under_way -= 1
            raise
        finally:
            with self._turn:
                self._mending = False
                self._turn.notify_all()

    def doubts(self, outcomes: Sequence[Outcome]) -> bool:
        """Tell whether one of these may have been written already."""
        doubts = self._doubts
        return bool(doubts) and any((outcome.id, outcome.claim) in doubts for outcome in outcomes)

    def answered(self, outcomes: Sequence[Outcome], answer: StepAnswer) -> None:
        """Note what a step has done."""
        with self._turn:
            claims = self._claims
            for outcome in outcomes:
                if claims.get(outcome.id) == outcome.claim:
                    del claims[outcome.id]
            for row in answer.claimed:
                claims[row.id] = row.claim
            if self._doubts:
                self._doubts.difference_update((outcome.id, outcome.claim) for outcome in outcomes)

    def unanswered(self, outcomes: Sequence[Outcome]) -> None:
        """Note that the reply to a step was lost."""
        with self._turn:
            self._doubts.update((outcome.id, outcome.claim) for outcome in outcomes)
            self._stray = True

    @property
    def crowded(self) -> bool:
        """Whether so much is held that some of it has probably ended unheard of, in a handler's own transaction."""
        return len(self._claims) > self._enough

    def sift(self, still: Callable[[Sequence[bytes]], Collection[bytes]]) -> None:
        """Forget what the worker holds no longer.

        Args:
            still: Asks the server which of these jobs it holds.
        """
        asked = list(self._claims.items())
        kept = set(still([id for id, _ in asked]))
        for id, claim in asked:
            if id not in kept:
                self.forget(id, claim)
        self._enough = ENOUGH + 2 * len(kept)

    def forget(self, id: bytes, claim: int) -> None:
        """Note that a job is no longer the worker's."""
        with self._turn:
            if self._claims.get(id) == claim:
                del self._claims[id]


class Held:
    """What each worker of this process holds, by its number."""

    def __init__(self) -> None:
        self._workers: dict[int, WorkerHold] = {}

    def begin(self, worker: int) -> bool:
        """Keep a record for a worker; False where there is one."""
        if worker in self._workers:
            return False
        self._workers[worker] = WorkerHold()
        return True

    def end(self, worker: int) -> bool:
        """Drop a worker's record; False where there is none."""
        return self._workers.pop(worker, None) is not None

    def of(self, worker: int) -> WorkerHold | None:
        """Return a worker's record; None for one that is not registered here, such as a client that claims by hand."""
        return self._workers.get(worker)
