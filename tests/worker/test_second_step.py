"""A second step beside another, where the store gains by it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Lock

import pytest

from millrace import Millrace
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.memory import MemoryStore
from millrace.worker.steps import SECOND
from tests.worker.conftest import Hire

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing
HELD_UP = 0.3  # seconds, of one step
JOBS = 20_000


class TwoAtOnce(MemoryStore):
    """Takes two steps at once, and holds up those that leave much to do until another has come beside one of them.

    Not for ever: where all that was to do had gathered before a step began, nobody comes beside that one.
    """

    parallel_steps = 2

    def __init__(self) -> None:
        super().__init__()
        self.met = Event()
        self.seconds: list[int] = []  #: how much each step beside another was for
        self._inside = self._held = 0
        self._counting = Lock()

    def step(
        self,
        worker: int,
        outcomes: Sequence[Outcome],
        claims: Sequence[ClaimRequest],
        *,
        now: int | None = None,
    ) -> StepAnswer:
        with self._counting:
            self._inside += 1
            if self._inside > 1:
                self.seconds.append(len(outcomes) + sum(claim.limit for claim in claims))
                self.met.set()
            waits = self._held - len(outcomes) > 3 * SECOND
        if waits:
            self.met.wait(HELD_UP)
        answer = super().step(worker, outcomes, claims, now=now)
        with self._counting:
            self._inside -= 1
            self._held += len(answer.claimed) - len(outcomes)
        return answer


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_second_step_is_done_beside_one_that_goes_on_and_only_for_many(kind: str, hire: Hire) -> None:
    store = TwoAtOnce()
    with Millrace(store) as app:

        @app.task(name="sync")
        def sync_task() -> None: ...

        @app.task(name="async")
        async def async_task() -> None: ...

        task = {"sync": sync_task, "async": async_task}[kind]
        app.enqueue_many([task.job() for _ in range(JOBS)])
        worker = hire(app, concurrency=10, burst=True)
        assert store.met.wait(PATIENCE)
        worker.stop(drain=True)
        assert app.counts()[JobState.COMPLETED] == JOBS
    assert SECOND // 2 <= min(store.seconds)  # what has gathered may in part be taken by the other step meanwhile
