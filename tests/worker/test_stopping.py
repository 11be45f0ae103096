"""Starts and stops: graceful, with what is left given back, by signals, in bursts, again and again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, JobState, Millrace, Worker, current_job
from tests.worker.childtasks import sleep as sleep_in_child
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event, eventually


def test_running_jobs_may_end_within_the_grace(app: Millrace, hire: Hire) -> None:
    began, go = threading.Event(), threading.Event()

    @app.task
    def long() -> str:
        began.set()
        assert go.wait(PATIENCE)
        return "in time"

    worker = hire(app, concurrency=1)
    jobs = app.enqueue_many([long.job() for _ in range(3)])
    await_event(began)
    stop = threading.Thread(target=worker.stop)
    stop.start()
    assert worker.notices.stopping.wait()
    go.set()
    stop.join(PATIENCE)

    assert not worker.running
    states = sorted(job.refresh().state.value for job in jobs)
    assert states == ["completed", "pending", "pending"]


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_what_has_not_ended_within_the_grace_is_given_back_and_no_try_is_counted(
    app: Millrace, hire: Hire, kind: str
) -> None:
    began, go = threading.Event(), threading.Event()

    async def on_loop() -> None:
        began.set()
        await asyncio.Event().wait()

    def in_thread() -> None:
        began.set()
        assert go.wait(PATIENCE)

    task = app.task(name="long")(on_loop if kind == "loop" else in_thread)
    worker = hire(app)
    job = task.enqueue()
    await_event(began)
    worker.stop(grace=0.05)
    go.set()

    job = job.refresh()
    assert (job.state, job.attempt, job.crashes) == ("pending", 0, 0)
    assert [(each.outcome.value, each.attempt) for each in app.attempts(job)] == [("released", 1)]


def test_a_child_that_runs_at_the_stop_is_ended_and_its_job_given_back(
    children: Millrace, tmp_path: Path, hire: Hire
) -> None:
    worker = hire(children)
    job = sleep_in_child.enqueue(tmp_path)
    eventually((tmp_path / "began").exists)
    worker.stop(grace=0.05)

    assert (job.refresh().state, job.refresh().attempt) == ("pending", 0)
    pid = int((tmp_path / "began").read_text(encoding="utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_thread_that_looks_at_its_flag_hears_of_the_stop(app: Millrace, hire: Hire) -> None:
    began, seen = threading.Event(), threading.Event()

    @app.task
    def loop() -> None:
        began.set()
        while not current_job().cancelled:
            threading.Event().wait(0.005)
        seen.set()
        current_job().check_cancelled()

    worker = hire(app)
    job = loop.enqueue()
    await_event(began)
    worker.stop(grace=0.05)

    assert seen.is_set()
    assert (job.refresh().state, job.refresh().attempt) == ("pending", 0)


def test_stop_with_drain_first_runs_all_that_is_due(app: Millrace, hire: Hire) -> None:
    @app.task
    def work() -> None: ...

    app.enqueue_many([work.job() for _ in range(300)])
    later = work.using(delay=3600).enqueue()
    worker = hire(app)
    worker.stop(drain=True)

    assert app.counts()[JobState.COMPLETED] == 300
    assert later.refresh().state == "scheduled"


def test_a_burst_ends_when_nothing_is_due_and_nothing_runs(app: Millrace) -> None:
    @app.task
    def parent(depth: int) -> None:
        if depth:
            parent.enqueue(depth - 1)

    @app.task
    async def leaf() -> None:
        await asyncio.sleep(0.01)

    parent.enqueue(5)
    leaf.enqueue()
    later = parent.using(delay=3600).enqueue(0)

    assert Worker(app, burst=True).run() == 0
    assert app.counts()[JobState.COMPLETED] == 7
    assert later.refresh().state == "scheduled"


def test_a_burst_on_an_empty_store_ends_at_once(app: Millrace) -> None:
    @app.task
    def work() -> None: ...

    started = time.monotonic()
    assert Worker(app, burst=True).run() == 0
    assert time.monotonic() - started < PATIENCE


def test_an_empty_app_in_a_burst_ends_too(app: Millrace) -> None:
    assert Worker(app, burst=True).run() == 0


def test_a_worker_may_be_started_and_stopped_many_times(app: Millrace) -> None:
    @app.task
    def sync() -> int:
        return 1

    @app.task
    async def on_loop() -> int:
        await asyncio.sleep(0)
        return 2

    worker = Worker(app, concurrency=3)
    ids: set[str | None] = set()
    for _ in range(10):
        worker.start()
        ids.add(worker.id)
        jobs = [sync.enqueue(), on_loop.enqueue()]
        assert [job.wait(PATIENCE).result for job in jobs] == [1, 2]
        worker.stop()
    assert len(ids) == 10
    assert None not in ids


def test_a_stop_right_after_the_start_is_no_trouble(app: Millrace) -> None:
    @app.task
    def work() -> None: ...

    jobs = app.enqueue_many([work.job() for _ in range(2000)])
    worker = Worker(app, concurrency=4)
    for _ in range(10):
        worker.start()
        worker.stop()
    worker.start()
    worker.stop(drain=True)

    assert app.counts()[JobState.COMPLETED] == len(jobs)
    assert {app.get(job).attempt for job in jobs[::97]} == {1}


def test_several_stops_at_once_all_wait_for_the_end(app: Millrace, hire: Hire) -> None:
    @app.task
    def work() -> None: ...

    worker = hire(app)
    work.enqueue().wait(PATIENCE)
    stops = [threading.Thread(target=worker.stop) for _ in range(4)]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join(PATIENCE)

    assert not worker.running
    assert app.workers() == []


def test_a_worker_that_is_at_work_is_not_started_twice(memory_app: Millrace, hire: Hire) -> None:
    worker = hire(memory_app)
    with pytest.raises(ConfigurationError, match="at work already"):
        worker.start()


def test_two_workers_in_one_process_share_the_jobs(app: Millrace, hire: Hire) -> None:
    @app.task
    def work() -> None:
        threading.Event().wait(0.001)

    first, second = hire(app, concurrency=1, prefetch=0), hire(app, concurrency=1, prefetch=0)
    for job in app.enqueue_many([work.job() for _ in range(200)]):
        job.wait(PATIENCE)

    assert first.summary.attempts + second.summary.attempts == 200
    assert min(first.summary.attempts, second.summary.attempts) > 0


def test_a_worker_is_an_async_context_manager_that_does_not_block_the_loop(app: Millrace) -> None:
    @app.task
    async def work() -> str:
        await asyncio.sleep(0)
        return "ran"

    async def serve() -> Any:
        async with Worker(app, concurrency=2) as worker:
            assert worker.running
            job = await work.aenqueue()
            return (await app.aio.wait(job, timeout=PATIENCE)).result

    assert asyncio.run(serve()) == "ran"


def test_run_in_another_thread_ends_by_stop(app: Millrace) -> None:
    codes: list[int] = []
    worker = Worker(app)
    thread = threading.Thread(target=lambda: codes.append(worker.run()))
    thread.start()
    eventually(lambda: worker.running)
    worker.stop()
    thread.join(PATIENCE)

    assert codes == [0]


def test_run_gives_back_signal_handlers_and_switch_interval(app: Millrace) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), sys.getswitchinterval()

    Worker(app, burst=True).run()

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), sys.getswitchinterval()) == before


def test_a_started_worker_touches_neither(app: Millrace, hire: Hire) -> None:
    before = signal.getsignal(signal.SIGTERM), sys.getswitchinterval()
    hire(app)

    assert (signal.getsignal(signal.SIGTERM), sys.getswitchinterval()) == before


# -- signals, in a process of their own

RUNNER = """
import sys, threading, time
from pathlib import Path
from millrace import Millrace, Worker
app = Millrace(sys.argv[1])
folder = Path(sys.argv[2])
@app.task(name="hold")
def hold():
    (folder / "began").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    return "done"
code = Worker(app, grace=float(sys.argv[3])).run()
print("code", code, flush=True)
sys.exit(code)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    path = tmp_path / "runner.py"
    path.write_text(RUNNER, encoding="utf-8")
    return path


def start(runner: Path, url: str, grace: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(runner), url, str(runner.parent), str(grace)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_jobs_end_and_the_exit_code_is_0(runner: Path, number: signal.Signals) -> None:
    url = f"sqlite:///{runner.parent / 'jobs.db'}"
    with Millrace(url) as app:
        job = enqueue_hold(app)
        with start(runner, url, 30) as process:
            eventually((runner.parent / "began").exists)
            process.send_signal(number)
            second = enqueue_hold(app)
            eventually(lambda: app.workers() != [])
            (runner.parent / "go").touch()
            assert process.wait(PATIENCE) == 0

        assert (job.refresh().state, job.refresh().result) == ("completed", "done")
        assert second.refresh().state in {"pending", "completed"}
        assert app.workers() == []


def test_a_second_signal_stops_at_once_with_exit_code_1(runner: Path) -> None:
    url = f"sqlite:///{runner.parent / 'jobs.db'}"
    with Millrace(url) as app:
        job = enqueue_hold(app)
        with start(runner, url, 3600) as process:
            eventually((runner.parent / "began").exists)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 1

        assert (job.refresh().state, job.refresh().attempt) == ("pending", 0)


def test_past_the_grace_what_is_left_is_given_back_and_the_exit_code_is_0(runner: Path) -> None:
    url = f"sqlite:///{runner.parent / 'jobs.db'}"
    with Millrace(url) as app:
        job = enqueue_hold(app)
        with start(runner, url, 0.1) as process:
            eventually((runner.parent / "began").exists)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0

        assert (job.refresh().state, job.refresh().attempt, job.refresh().crashes) == ("pending", 0, 0)


def enqueue_hold(app: Millrace) -> Any:
    import warnings

    from millrace import NewJob

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return app.enqueue(NewJob("hold"))
