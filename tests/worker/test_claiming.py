"""Which jobs are claimed, how many, and which begin: slots, reserves, claiming ahead, and the job that runs alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from millrace import JobState, Millrace, NewJob
from millrace.ids import new_worker_id
from millrace.messages import ClaimRequest
from millrace.worker.steps import Steps
from tests.worker.conftest import Hire
from tests.worker.stages import Stage
from tests.worker.waiting import PATIENCE, await_event, eventually


def test_without_a_measured_pace_only_the_free_slots_are_claimed(staged: Millrace, hire: Hire) -> None:
    held = threading.Event()

    @staged.task
    def hold() -> None:
        assert held.wait(PATIENCE)

    staged.enqueue_many([hold.job() for _ in range(20)])
    worker = hire(staged, concurrency=4)
    assert worker.notices.swept.wait(2)

    assert staged.counts()[JobState.RUNNING] == 4
    held.set()
    eventually(lambda: staged.counts()[JobState.COMPLETED] == 20)


def test_prefetch_0_claims_never_more_than_the_free_slots(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task
    def quick() -> None: ...

    staged.enqueue_many([quick.job() for _ in range(300)])
    hire(staged, concurrency=2, prefetch=0)

    eventually(lambda: staged.counts()[JobState.COMPLETED] == 300)
    assert max(limit for limits in stage.claims for limit in limits) <= 2


def test_prefetch_caps_what_is_claimed_ahead(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task
    def quick() -> None: ...

    staged.enqueue_many([quick.job() for _ in range(1000)])
    hire(staged, concurrency=2, prefetch=7)

    eventually(lambda: staged.counts()[JobState.COMPLETED] == 1000)
    assert 2 < max(limit for limits in stage.claims for limit in limits) <= 9


def test_quick_jobs_are_claimed_in_large_batches(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task
    def quick() -> None: ...

    staged.enqueue_many([quick.job() for _ in range(5000)])
    hire(staged, concurrency=2)

    eventually(lambda: staged.counts()[JobState.COMPLETED] == 5000)
    assert max(limit for limits in stage.claims for limit in limits) > 50


def test_a_job_claimed_ahead_that_cannot_begin_is_given_back(app: Millrace, hire: Hire) -> None:
    """The pace of quick jobs lets the worker claim ahead; then one blocks the only slot for longer than a second."""
    held, began = threading.Event(), threading.Event()

    @app.task
    def work(*, hold: bool) -> None:
        if hold:
            began.set()
            assert held.wait(PATIENCE)

    jobs = app.enqueue_many([work.job(hold=number == 60) for number in range(200)])
    worker = hire(app, concurrency=1)
    await_event(began)
    assert worker.notices.returned.wait()
    eventually(lambda: app.counts()[JobState.RUNNING] == 1)

    waiting = next(job for job in jobs[61:] if job.refresh().state == "pending")
    assert (waiting.refresh().attempt, app.attempts(waiting)) == (0, [])
    held.set()
    for job in jobs:
        assert app.wait(job, timeout=PATIENCE).attempt == 1


def test_reserved_slots_are_kept_for_their_queue(app: Millrace, hire: Hire) -> None:
    held, low_began = threading.Event(), threading.Semaphore(0)

    @app.task
    def low() -> None:
        low_began.release()
        assert held.wait(PATIENCE)

    @app.task(queue="high")
    def high() -> str:
        return "ran"

    app.enqueue_many([low.job() for _ in range(10)])
    hire(app, concurrency=3, reserved={"high": 1})
    assert low_began.acquire(timeout=PATIENCE)
    assert low_began.acquire(timeout=PATIENCE)

    for _ in range(3):
        assert high.enqueue().wait(PATIENCE).result == "ran"
    assert app.counts()[JobState.RUNNING] == 2
    held.set()


def test_a_reserved_queue_may_use_the_other_slots_too(app: Millrace, hire: Hire) -> None:
    barrier = threading.Barrier(3)

    @app.task(queue="high")
    def high() -> None:
        barrier.wait(PATIENCE)

    hire(app, concurrency=3, reserved={"high": 1})
    jobs = app.enqueue_many([high.job() for _ in range(3)])

    for job in jobs:
        assert job.wait(PATIENCE).state == "completed"


def test_within_a_queue_jobs_begin_by_priority_then_age(app: Millrace, hire: Hire) -> None:
    began: list[int] = []

    @app.task
    def work(number: int) -> None:
        began.append(number)

    jobs = [work.using(priority=priority).job(number) for number, priority in enumerate([0, 5, 0, 9, 5, 0])]
    stored = app.enqueue_many(jobs)
    hire(app, concurrency=1)

    for job in stored:
        job.wait(PATIENCE)
    assert began == [3, 1, 4, 0, 2, 5]


# -- the job that has one lost lease left


def lose_leases(app: Millrace, job: Any, times: int) -> None:
    """Let a job lose its lease so many times, as killed workers would."""
    for _ in range(times):
        worker = new_worker_id()
        answer = app.store.step(worker, (), [ClaimRequest(1, tasks=frozenset({job.task}))])
        assert [row.id for row in answer.claimed] == [job.row.id]
        app.store.rescue(retention=None, dead_retention=None, now=answer.now + 3_600_000_000)


@pytest.mark.parametrize("on_loop", [False, True])
def test_a_job_with_one_lost_lease_left_runs_alone(app: Millrace, hire: Hire, *, on_loop: bool) -> None:
    running: set[str] = set()
    beside: list[set[str]] = []
    lock = threading.Lock()

    def enter(name: str) -> None:
        with lock:
            running.add(name)
            if name == "killer":
                beside.append(set(running))

    def leave(name: str) -> None:
        with lock:
            running.discard(name)

    def work(name: str) -> None:
        enter(name)
        threading.Event().wait(0.01)
        leave(name)

    async def work_on_loop(name: str) -> None:
        import asyncio

        enter(name)
        await asyncio.sleep(0.01)
        leave(name)

    task = app.task(name="work", max_crashes=3)(work_on_loop if on_loop else work)
    killer = task.using(priority=1).enqueue("killer")
    lose_leases(app, killer, 2)
    app.reschedule(killer, run_at=killer.created_at)
    app.enqueue_many([task.job(f"good {number}") for number in range(40)])
    hire(app, concurrency=4)

    eventually(lambda: app.counts()[JobState.COMPLETED] == 41)
    assert beside == [{"killer"}]
    assert killer.refresh().crashes == 2


def looked_away(_: Steps) -> bool:
    return False


@pytest.mark.parametrize("looks", ["again", "no more"])
def test_a_job_that_must_be_alone_is_given_back_at_a_stop(
    app: Millrace, hire: Hire, monkeypatch: pytest.MonkeyPatch, looks: str
) -> None:
    if looks == "no more":  # the claim loop, before it could
        monkeypatch.setattr(Steps, "turn_alone", looked_away)
    began, go = threading.Event(), threading.Event()

    @app.task
    def long() -> None:
        began.set()
        assert go.wait(PATIENCE)

    @app.task(max_crashes=2)
    def killer() -> None: ...

    alone = killer.enqueue()
    lose_leases(app, alone, 1)
    app.pause("default")
    worker = hire(app, concurrency=2)
    long.using(queue="long").enqueue()
    await_event(began)
    app.resume("default")
    eventually(lambda: alone.refresh().state == "running")
    worker.stop(grace=0)
    go.set()

    assert (alone.refresh().state, alone.refresh().attempt, alone.refresh().crashes) == ("pending", 0, 1)


def test_while_it_waits_to_be_alone_its_lease_is_kept_and_a_cancel_is_heeded(app: Millrace, hire: Hire) -> None:
    began, go = threading.Event(), threading.Event()
    ran: list[str] = []

    @app.task
    def long() -> None:
        began.set()
        assert go.wait(PATIENCE)

    @app.task(max_crashes=2, lease=0.5)
    def killer() -> None:
        ran.append("killer")

    @app.task
    def after() -> str:
        return "ran"

    alone = killer.enqueue()
    lose_leases(app, alone, 1)
    app.pause("default")
    worker = hire(app, concurrency=2)
    first = long.using(queue="long").enqueue()
    await_event(began)
    app.resume("default")
    eventually(lambda: alone.refresh().state == "running")
    later = after.enqueue()
    lease = alone.refresh().lease_expires_at
    eventually(lambda: alone.refresh().lease_expires_at != lease)
    assert later.refresh().state == "pending"
    app.cancel(alone)
    assert worker.notices.told.wait()
    go.set()

    assert first.wait(PATIENCE).state == "completed"
    assert later.wait(PATIENCE).result == "ran"
    assert alone.wait(PATIENCE).state == "cancelled"
    assert ran == []


def test_a_queue_with_a_limit_is_served_as_places_come_free(app: Millrace, hire: Hire) -> None:
    lock, now, most = threading.Lock(), 0, 0

    @app.task(queue="few")
    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)
        with lock:
            now -= 1

    app.set_queue("few", concurrency=2)
    jobs = app.enqueue_many([work.job() for _ in range(30)])
    hire(app, concurrency=5)

    for job in jobs:
        assert job.wait(PATIENCE).state == "completed"
    assert most <= 2


@pytest.mark.filterwarnings("ignore:this app has no task")
def test_an_app_without_tasks_claims_nothing(staged: Millrace, stage: Stage, hire: Hire) -> None:
    staged.enqueue(NewJob("elsewhere"))
    worker = hire(staged)
    assert worker.notices.swept.wait(2)

    assert stage.claims == []
