"""A hint to an idle worker: a hand claims for it, and runs what it has claimed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue

import pytest

from millrace import Millrace, Worker
from millrace.messages import ClaimRequest, StepAnswer
from millrace.outcome import Outcome
from millrace.stores.memory import MemoryStore
from millrace.worker import claimer, maintenance
from tests.worker.waiting import PATIENCE, eventually


class Asked(MemoryStore):
    """Notes which thread a step that claimed something came from."""

    def __init__(self) -> None:
        super().__init__()
        self.claimers: list[int] = []

    def step(
        self, worker: int, outcomes: Sequence[Outcome], claims: Sequence[ClaimRequest], *, now: int | None = None
    ) -> StepAnswer:
        answer = super().step(worker, outcomes, claims, now=now)
        if answer.claimed:
            self.claimers.append(threading.get_ident())
        return answer


def at_rest(worker: Worker) -> bool:
    shift = worker._shift  # pyright: ignore[reportPrivateUsage] # nothing public tells that all is at rest
    return shift is not None and shift.floor.steps.quiet and not shift.floor.steps.more


def test_the_thread_that_claims_for_a_hint_runs_the_job() -> None:
    store = Asked()
    with Millrace(store) as app:
        runners: list[int] = []

        @app.task
        def whose() -> None:
            runners.append(threading.get_ident())

        with Worker(app, concurrency=4) as worker:
            whose.enqueue().wait(PATIENCE)  # brings the first thread
            for _ in range(5):
                eventually(lambda: at_rest(worker))
                whose.enqueue().wait(PATIENCE)
        # Not each: a hint that comes while another step ends is the claimer's.
        assert any(ran == claimed for ran, claimed in zip(runners[1:], store.claimers[1:], strict=True))


def test_a_job_due_soon_is_noticed_though_a_hand_took_the_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimer, "_POLL", 3600.0)  # so that no poll finds it,
    monkeypatch.setattr(maintenance, "_ROUND", 3600.0)  # nor a round of maintenance
    with Millrace("memory://") as app:
        begun: SimpleQueue[int] = SimpleQueue()

        @app.task
        def begin(number: int) -> None:
            begun.put(number)

        with Worker(app, concurrency=2) as worker:
            begin.enqueue(0)
            assert begun.get(timeout=PATIENCE) == 0
            eventually(lambda: at_rest(worker))
            begin.using(delay=0.05).enqueue(1)
            assert begun.get(timeout=PATIENCE) == 1
