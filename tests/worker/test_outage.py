"""A store out of reach stops the claiming and nothing else; outcomes are kept, and all goes on once it is back."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from millrace import Millrace, Worker, current_job
from millrace.errors import StoreUnavailable
from tests.worker.conftest import Hire
from tests.worker.stages import Stage, out_of_reach
from tests.worker.waiting import PATIENCE, await_event, eventually


def whole(_: str) -> None:
    return None


def test_outcomes_are_kept_while_the_store_is_away_and_written_when_it_is_back(
    staged: Millrace, stage: Stage, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    began, go = threading.Event(), threading.Event()

    @staged.task
    def work(number: int) -> int:
        if number == 0:
            began.set()
            assert go.wait(PATIENCE)
        return number

    worker = hire(staged, concurrency=1)
    first = work.enqueue(0)
    await_event(began)
    stage.broken = out_of_reach()
    second = work.enqueue(1)
    go.set()
    assert worker.notices.outages.wait()
    assert first.refresh().state == "running"
    stage.broken = whole

    assert first.wait(PATIENCE).result == 0
    assert second.wait(PATIENCE).result == 1
    assert worker.notices.recoveries.wait()
    told = [record for record in caplog.records if "the store cannot be used" in record.message]
    assert len(told) == worker.notices.outages.count == 1
    assert "the disk is full" in told[0].message


def test_a_running_handler_goes_on_through_an_outage(staged: Millrace, stage: Stage, hire: Hire) -> None:
    began, go = threading.Event(), threading.Event()

    @staged.task(lease=0.6)
    async def work() -> str:
        began.set()
        await asyncio.to_thread(go.wait, PATIENCE)
        return "through"

    worker = hire(staged)
    job = work.enqueue()
    await_event(began)
    stage.broken = out_of_reach()
    assert worker.notices.outages.wait()
    stage.broken = whole
    go.set()

    assert job.wait(PATIENCE).result == "through"


def test_a_worker_that_cannot_extend_its_leases_claims_nothing_more(staged: Millrace, stage: Stage, hire: Hire) -> None:
    began, go = threading.Event(), threading.Event()

    @staged.task(lease=0.6)
    def hold() -> None:
        began.set()
        assert go.wait(PATIENCE)

    @staged.task
    def other() -> None: ...

    worker = hire(staged)
    held = hold.enqueue()
    await_event(began)
    stage.broken = out_of_reach("extend")
    assert worker.notices.outages.wait()
    job = other.enqueue()
    before = len(stage.claims)
    assert worker.notices.swept.wait(worker.notices.swept.count + 2)

    assert len(stage.claims) == before
    assert job.refresh().state == "pending"
    stage.broken = whole
    assert job.wait(PATIENCE).state == "completed"
    go.set()
    assert held.wait(PATIENCE).state == "completed"


def test_a_worker_starts_while_the_store_is_away(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task
    def work() -> None: ...

    job = work.enqueue()
    stage.broken = out_of_reach()
    worker = hire(staged)
    assert worker.notices.outages.wait()
    stage.broken = whole

    assert job.wait(PATIENCE).state == "completed"
    eventually(lambda: [each.id for each in staged.workers()] == [worker.id])


def test_log_lines_and_progress_wait_for_the_store(staged: Millrace, stage: Stage, hire: Hire) -> None:
    began, go = threading.Event(), threading.Event()

    @staged.task
    def work() -> None:
        current_job().log.info("before")
        began.set()
        assert go.wait(PATIENCE)
        current_job().log.info("during")
        current_job().progress(0.5)
        current_job().set_result("half")

    worker = hire(staged)
    job = work.enqueue()
    await_event(began)
    stage.broken = out_of_reach()
    go.set()
    assert worker.notices.outages.wait()
    stage.broken = whole

    assert job.wait(PATIENCE).state == "completed"
    assert [line.message for line in staged.logs(job)] == ["before", "during"]


def test_outcomes_left_at_a_stop_are_written_if_the_store_comes_back_in_time(staged: Millrace, stage: Stage) -> None:
    began, go = threading.Event(), threading.Event()

    @staged.task
    def work() -> None:
        began.set()
        assert go.wait(PATIENCE)

    worker = Worker(staged, grace=0.1)
    worker.start()
    job = work.enqueue()
    await_event(began)
    stage.broken = out_of_reach("step")
    stop = threading.Thread(target=worker.stop)
    stop.start()
    assert worker.notices.outages.wait()
    go.set()
    stage.broken = whole
    stop.join(PATIENCE)

    assert not stop.is_alive()
    assert job.refresh().state in {"completed", "pending"}


def test_an_outcome_that_the_store_cannot_take_does_not_hold_up_the_others(
    staged: Millrace, stage: Stage, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of the store for one outcome: all are written one by one, and that one is dropped."""
    cursed: list[bytes] = []

    original = stage.step

    def step(worker: int, outcomes: Any, claims: Any, *, now: int | None = None) -> Any:
        if any(outcome.id in cursed for outcome in outcomes):
            raise OverflowError("a number that does not fit")
        return original(worker, outcomes, claims, now=now)

    stage.step = step  # type: ignore[method-assign]

    @staged.task
    def work() -> None: ...

    jobs = staged.enqueue_many([work.job() for _ in range(20)])
    cursed.append(jobs[7].row.id)
    hire(staged)

    for job in jobs[:7] + jobs[8:]:
        assert job.wait(PATIENCE).state == "completed"
    assert jobs[7].refresh().state == "running"
    assert "cannot be written and is dropped" in caplog.text


def test_a_fault_of_the_store_in_a_claim_is_told_once_and_tried_again(
    staged: Millrace, stage: Stage, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:

    def faulty(verb: str) -> BaseException | None:
        return RuntimeError("a fault") if verb == "step" else None

    stage.broken = faulty

    @staged.task
    def work() -> None: ...

    worker = hire(staged)
    job = work.enqueue()
    assert worker.notices.outages.wait()
    stage.broken = whole

    assert job.wait(PATIENCE).state == "completed"
    assert caplog.text.count("the store cannot be used: a fault") == 1


def test_a_drain_tells_its_caller_that_the_store_is_away(staged: Millrace, stage: Stage) -> None:
    @staged.task
    def work() -> None: ...

    job = work.enqueue()
    stage.broken = out_of_reach("step")
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        staged.drain()
    stage.broken = whole

    assert staged.drain() == {"completed": 1}
    assert job.refresh().state == "completed"


def test_an_async_floods_outcomes_survive_an_outage(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task
    async def work(number: int) -> int:
        return number

    worker = hire(staged)
    jobs = staged.enqueue_many([work.job(number) for number in range(300)])
    stage.broken = out_of_reach("step")
    eventually(lambda: worker.notices.outages.count > 0)
    stage.broken = whole

    assert [job.wait(PATIENCE).result for job in jobs] == list(range(300))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millrace.worker")
