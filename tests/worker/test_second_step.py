"""A second step beside another, where the store gains by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event, Lock

import pytest

from millrace import Millrace
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.states import JobState
from millrace.stores.memory import MemoryStore
from millrace.worker.bell import Bell
from millrace.worker.relief import Relief
from millrace.worker.steps import SECOND
from tests.worker.conftest import Hire

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing
MANY = 3 * SECOND


class TwoAtOnce(MemoryStore):
    """Takes two steps at once. The step that writes the first outcome opens the gate, and waits for what it is told to.

    Nothing depends on who is quick: all other handlers wait at the gate until that step goes on, so that their
    outcomes gather while it does.
    """

    parallel_steps = 2

    def __init__(self) -> None:
        super().__init__()
        self.gate = Event()
        self.go_on = Event()  #: lets the first step that writes come to its end
        self.seconds: list[int] = []  #: how much each step beside another was for
        self._inside = 0
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
                self.go_on.set()
        if outcomes and not self.gate.is_set():
            self.gate.set()
            assert self.go_on.wait(PATIENCE)
        answer = super().step(worker, outcomes, claims, now=now)
        with self._counting:
            self._inside -= 1
        return answer


def drain(store: TwoAtOnce, kind: str, hire: Hire, *, slots: int, jobs: int) -> None:
    """Run so many jobs: one that ends at once, and others that wait at the gate, of which the last opens it fully."""
    left = [jobs]
    counting = Lock()

    def ended() -> None:
        with counting:
            left[0] -= 1
            if not left[0] and jobs < SECOND:  # where a second step must come, it alone lets the first go on
                store.go_on.set()

    with Millrace(store) as app:

        @app.task(name="sync")
        def sync_task(number: int) -> None:
            assert not number or store.gate.wait(PATIENCE)
            ended()

        @app.task(name="async")
        async def async_task(number: int) -> None:
            assert not number or await asyncio.to_thread(store.gate.wait, PATIENCE)
            ended()

        task = {"sync": sync_task, "async": async_task}[kind]
        app.enqueue_many([task.job(number) for number in range(jobs)])
        hire(app, concurrency=slots).stop(drain=True)
        assert app.counts()[JobState.COMPLETED] == jobs


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_second_step_is_done_beside_one_that_goes_on(kind: str, hire: Hire) -> None:
    store = TwoAtOnce()
    drain(store, kind, hire, slots=MANY, jobs=MANY)
    assert store.seconds[0] >= SECOND * 9 // 10  # how far to claim ahead is reckoned anew for the request: a few less


class Looking:
    """What the relief thread needs of the steps, to see that the claimer is told of each that it has done."""

    def __init__(self) -> None:
        self.relief = Bell()
        self.told: list[str] = []
        self.ended = Event()

    def needed(self) -> bool:
        return True

    def lead(self) -> None:
        self.told.append("lead")

    def freed(self) -> None:
        self.told.append("freed")
        self.ended.set()


def test_the_claimer_looks_again_after_a_second_step_for_it_may_have_been_the_last_thing_under_way() -> None:
    steps = Looking()
    relief = Relief(steps)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    relief.start()
    steps.relief.ring()
    assert steps.ended.wait(PATIENCE)
    relief.close()
    assert steps.told[:2] == ["lead", "freed"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_second_step_is_done_for_few(kind: str, hire: Hire) -> None:
    store = TwoAtOnce()
    drain(store, kind, hire, slots=SECOND // 2, jobs=SECOND // 2 - 1)  # one too few: it is known that there are no more
    assert store.seconds == []
