"""Leases are extended for those who run long, and looked at before anything begins after the process stood still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from millrace import JobState, Millrace, current_job
from millrace.job import JobRow
from millrace.messages import Beat, ClaimRequest
from millrace.worker.attempt import Attempt
from millrace.worker.floor import Floor
from millrace.worker.notice import Notices
from millrace.worker.uptime import uptime
from tests.worker.conftest import Hire
from tests.worker.stages import Stage, out_of_reach
from tests.worker.waiting import PATIENCE, await_event, eventually


def test_a_long_job_keeps_its_lease_and_runs_once(app: Millrace, hire: Hire) -> None:
    began = 0
    go = threading.Event()

    @app.task(lease=0.5)
    def long() -> str:
        nonlocal began
        began += 1
        assert go.wait(PATIENCE)
        return "once"

    worker = hire(app)
    job = long.enqueue()
    assert worker.notices.extended.wait(6)
    go.set()

    job = job.wait(PATIENCE)
    assert (job.result, job.crashes, began) == ("once", 0, 1)


def test_a_handler_that_blocks_the_event_loop_keeps_its_lease(app: Millrace, hire: Hire) -> None:
    go = threading.Event()

    @app.task(lease=0.5)
    async def block() -> str:
        assert go.wait(PATIENCE)
        return "once"

    worker = hire(app)
    job = block.enqueue()
    assert worker.notices.extended.wait(6)
    go.set()

    assert (job.wait(PATIENCE).result, job.refresh().crashes) == ("once", 0)


def test_short_jobs_cost_no_extension(staged: Millrace, stage: Stage, hire: Hire) -> None:
    @staged.task(lease=3)
    def quick() -> None: ...

    worker = hire(staged)
    for job in staged.enqueue_many([quick.job() for _ in range(200)]):
        job.wait(PATIENCE)
    assert worker.notices.swept.wait(2)

    assert stage.extended == []


def test_the_lease_given_at_enqueue_is_the_one_that_is_kept(app: Millrace, hire: Hire) -> None:
    go = threading.Event()

    @app.task
    def long() -> None:
        assert go.wait(PATIENCE)

    worker = hire(app)
    job = long.using(lease=0.6).enqueue()
    assert worker.notices.extended.wait(5)
    go.set()

    assert job.wait(PATIENCE).crashes == 0


def test_extend_lets_a_lease_last_and_the_worker_does_not_shorten_it(app: Millrace, hire: Hire) -> None:
    extended, go = threading.Event(), threading.Event()

    @app.task(lease=0.4)
    def long() -> None:
        current_job().extend(3600)
        extended.set()
        assert go.wait(PATIENCE)

    worker = hire(app)
    job = long.enqueue()
    await_event(extended)
    before = job.refresh().lease_expires_at
    sweeps = worker.notices.swept.count
    assert worker.notices.swept.wait(sweeps + 2)
    after = job.refresh().lease_expires_at
    go.set()

    assert before is not None
    assert before == after
    assert job.wait(PATIENCE).state == "completed"


def test_a_lost_lease_is_taken_back_within_the_maintenance_round(app: Millrace, hire: Hire) -> None:
    @app.task(lease=0.2)
    def work() -> str:
        return "again"

    job = work.enqueue()
    assert [each.id for each in app.claim(lease=0.2)] == [job.id]  # and its worker is never heard of again
    hire(app)

    job = job.wait(PATIENCE)
    assert (job.result, job.crashes, job.attempt) == ("again", 1, 1)


class Nowhere:
    """A seat in which nothing runs."""

    waits = True
    patience = 1.0

    def stop(self, _: Attempt) -> None: ...

    def give_up(self, _: Attempt) -> bool:
        return False

    def replace(self, _: Attempt) -> None: ...


def claimed_on(floor: Floor, app: Millrace, count: int) -> Sequence[JobRow]:
    @app.task
    def work() -> None: ...

    app.enqueue_many([work.job() for _ in range(count)])
    floor.plans.refresh()
    return floor.store.step(floor.worker, (), [ClaimRequest(count)]).claimed


def test_after_standing_still_leases_are_looked_at_before_anything_begins(app: Millrace) -> None:
    """Of three claimed jobs one was taken back and one cancelled while the process stood still."""
    floor = Floor(app, Notices(), tasks=None, grace=1.0)
    lost, cancelled, kept = claimed_on(floor, app, 3)
    year = 365 * 86_400_000_000
    beats = [Beat(row.ref, row.id, row.claim, lease=year) for row in (cancelled, kept)]
    floor.store.extend(floor.worker, beats)
    assert len(floor.store.rescue(retention=None, dead_retention=None, now=floor.store.now() + year // 2)) == 1
    app.cancel(UUID(bytes=cancelled.id))
    floor.fresh_until = uptime() - 1.0

    begun = [floor.begin(row, Nowhere()) for row in (lost, cancelled, kept)]

    assert [attempt is not None for attempt in begun] == [False, False, True]
    assert floor.notices.lost.count == 1
    assert [(outcome.id, outcome.recorded) for outcome in floor.done] == [(cancelled.id, False)]
    assert floor.running == {begun[2]}


def test_while_the_keeper_looks_in_time_nothing_is_asked_before_a_begin(staged: Millrace, stage: Stage) -> None:
    floor = Floor(staged, Notices(), tasks=None, grace=1.0)
    (row,) = claimed_on(floor, staged, 1)
    floor.fresh_until = uptime() + 60.0

    assert floor.begin(row, Nowhere()) is not None
    assert stage.extended == []


def test_out_of_reach_of_the_store_what_may_be_lost_is_not_begun(staged: Millrace, stage: Stage) -> None:
    floor = Floor(staged, Notices(), tasks=None, grace=1.0)
    (row,) = claimed_on(floor, staged, 1)
    floor.fresh_until = uptime() - 1.0
    stage.broken = out_of_reach("extend")

    assert floor.begin(row, Nowhere()) is None
    assert [outcome.recorded for outcome in floor.done] == [False]
    assert floor.outage.open


SLEEPER = """
import asyncio, sys, threading
from millrace import Millrace, Worker
app = Millrace(sys.argv[1])
@app.task(name="work", lease=1.0)
async def work():
    print("began", flush=True)
    await asyncio.sleep(0.5)
    return "zombie"
Worker(app, concurrency=1).run()
"""


def test_a_stopped_process_that_wakes_after_its_lease_cannot_finish_the_job(tmp_path: Path, hire: Hire) -> None:
    """SIGSTOP for longer than the lease; meanwhile another worker runs the job to its end."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal"
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER, encoding="utf-8")
    with Millrace(url) as app:

        @app.task(name="work", lease=1.0)
        async def work() -> str:
            await asyncio.sleep(0)
            return "rescuer"

        job = work.enqueue()
        with subprocess.Popen([sys.executable, str(script), url], stdout=subprocess.PIPE, text=True) as sleeper:
            assert sleeper.stdout is not None
            assert sleeper.stdout.readline() == "began\n"
            os.kill(sleeper.pid, signal.SIGSTOP)
            worker = hire(app)
            assert job.wait(PATIENCE).result == "rescuer"
            os.kill(sleeper.pid, signal.SIGCONT)
            sleeper.terminate()
            assert sleeper.wait(PATIENCE) == 0

        assert (job.refresh().result, job.refresh().crashes) == ("rescuer", 1)
        assert worker.running


def test_the_register_shows_the_worker_while_it_works(app: Millrace) -> None:
    from millrace import Worker

    @app.task
    def work() -> None: ...

    with Worker(app, queues=["a", "b"], concurrency=3, reserved={"a": 1}) as worker:
        (entry,) = app.workers()
        assert entry.id == worker.id
        assert entry.name.endswith(f":{os.getpid()}")
        assert entry.info["pid"] == os.getpid()
        assert (entry.info["queues"], entry.info["tasks"]) == (["a", "b"], [work.name])
        assert (entry.info["concurrency"], entry.info["reserved"]) == (3, {"a": 1})
    assert app.workers() == []
    assert worker.id is None


def test_what_has_expired_is_deleted_and_dead_workers_are_forgotten(memory_app: Millrace, hire: Hire) -> None:
    from millrace.records import WorkerRow

    app = memory_app

    @app.task(retention=0.01)
    def work() -> None: ...

    long_ago = app.store.now() - 3_600_000_000
    app.store.register(WorkerRow(5, "gone:1", long_ago, long_ago, b"{}"))
    work.enqueue()
    app.drain()
    eventually(lambda: app.store.now() > long_ago)
    hire(app)

    eventually(lambda: app.counts()[JobState.COMPLETED] == 0)
    eventually(lambda: [entry.name for entry in app.workers() if entry.name == "gone:1"] == [])
