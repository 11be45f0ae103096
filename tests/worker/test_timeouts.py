"""Timeouts and cancels: told to each runner in its own way, and never to a neighbour."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from millrace import Backoff, CancelJob, JobContext, LeaseLost, Millrace, OutcomeKind, current_job
from millrace.worker.uptime import uptime
from tests.worker.childtasks import asleep, sleep, stubborn
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, await_event, eventually

# -- timeouts


def test_an_async_handler_is_cancelled_at_its_timeout(app: Millrace, hire: Hire) -> None:
    cleaned = threading.Event()

    @app.task(timeout=0.1, max_attempts=1)
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    hire(app)
    job = endless.enqueue().wait(PATIENCE)

    assert (job.state, job.reason, job.attempt) == ("dead", "timeout", 1)
    assert job.error == "TimeoutError: the attempt ran longer than its timeout of 0.1 s"
    assert cleaned.is_set()


def test_a_thread_is_told_by_its_flag_and_has_timed_out_whatever_it_returns(app: Millrace, hire: Hire) -> None:
    @app.task(timeout=0.1, max_attempts=2, retry=Backoff.fixed(0))
    def wait(context: JobContext) -> str:
        eventually(lambda: context.cancelled)
        with pytest.raises(TimeoutError, match=r"past its timeout of 0\.1 s"):
            context.check_cancelled()
        return "too late"

    hire(app)
    job = wait.enqueue().wait(PATIENCE)

    assert (job.state, job.reason, job.result) == ("dead", "timeout", None)
    assert [each.outcome for each in app.attempts(job)] == [OutcomeKind.FAILED, OutcomeKind.DEAD]


def test_a_thread_that_does_not_answer_is_abandoned_and_its_slot_replaced(app: Millrace, hire: Hire) -> None:
    held, left = threading.Event(), threading.Event()

    @app.task(timeout=0.1, max_attempts=1)
    def deaf() -> str:
        held.wait(PATIENCE)
        left.set()
        return "nobody hears it"

    @app.task
    def next_one() -> str:
        return "ran"

    worker = hire(app, concurrency=1, grace=0.2)
    job = deaf.enqueue().wait(PATIENCE)

    assert (job.state, job.reason) == ("dead", "timeout")
    assert worker.notices.abandoned.wait()
    assert next_one.enqueue().wait(PATIENCE).result == "ran"
    held.set()
    await_event(left)
    assert next_one.enqueue().wait(PATIENCE).result == "ran"
    assert (job.refresh().state, job.refresh().result) == ("dead", None)
    assert worker.summary.abandoned == 1


def test_an_async_handler_that_swallows_its_cancel_is_abandoned_too(app: Millrace, hire: Hire) -> None:
    swallowed = threading.Event()
    go = asyncio.Event()

    @app.task(timeout=0.1, max_attempts=1)
    async def deaf() -> str:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                swallowed.set()
        return "nobody hears it"

    @app.task
    async def next_one(*, last: bool = False) -> str:
        if last:
            go.set()
        await asyncio.sleep(0)
        return "ran"

    hire(app, concurrency=1, grace=0.2)
    job = deaf.enqueue().wait(PATIENCE)

    await_event(swallowed)
    assert (job.state, job.reason) == ("dead", "timeout")
    assert next_one.enqueue().wait(PATIENCE).result == "ran"
    assert next_one.enqueue(last=True).wait(PATIENCE).result == "ran"
    assert job.refresh().result is None


def test_a_timeout_given_at_enqueue_wins_over_the_tasks(app: Millrace, hire: Hire) -> None:
    @app.task(timeout=3600, max_attempts=1)
    async def endless() -> None:
        await asyncio.Event().wait()

    hire(app)
    job = endless.using(timeout=0.1).enqueue().wait(PATIENCE)

    assert job.reason == "timeout"


def test_a_timeout_counts_from_the_handlers_start_and_not_from_the_claim(app: Millrace, hire: Hire) -> None:
    """The second job waits behind the first for longer than its own timeout."""
    held, began = threading.Event(), threading.Event()

    @app.task
    def hold() -> None:
        began.set()
        held.wait(PATIENCE)

    @app.task(timeout=0.4, max_attempts=1)
    def quick() -> str:
        return "in time"

    hire(app, concurrency=1)
    hold.enqueue()
    await_event(began)
    job = quick.enqueue()
    until = uptime() + 0.5
    eventually(lambda: uptime() > until)
    held.set()

    assert job.wait(PATIENCE).result == "in time"


def test_a_child_process_is_ended_at_its_timeout(children: Millrace, tmp_path: Path, hire: Hire) -> None:
    hire(children, concurrency=1)
    job = sleep.using(timeout=1.0).enqueue(tmp_path).wait(PATIENCE)

    assert (job.state, job.reason) == ("dead", "timeout")
    assert (tmp_path / "cleaned").exists()


def test_a_child_process_that_ignores_sigterm_is_killed(children: Millrace, tmp_path: Path, hire: Hire) -> None:
    hire(children, concurrency=1, grace=0.3)
    job = sleep.using(timeout=1.5).enqueue(tmp_path, deaf=True)
    eventually((tmp_path / "deaf").exists)

    job = job.wait(PATIENCE)

    assert (job.state, job.reason) == ("dead", "timeout")
    assert not (tmp_path / "cleaned").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "began").read_text(encoding="utf-8")), 0)


# -- cancels


def test_a_waiting_job_that_is_cancelled_never_runs(app: Millrace, hire: Hire) -> None:
    ran = threading.Event()

    @app.task
    def never() -> None:
        ran.set()

    @app.task
    def after() -> None: ...

    job = never.enqueue()
    app.cancel(job)
    hire(app)
    after.enqueue().wait(PATIENCE)

    assert job.refresh().state == "cancelled"
    assert not ran.is_set()


def test_an_async_handler_is_cancelled_on_request(app: Millrace, hire: Hire) -> None:
    began = threading.Event()

    @app.task
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    hire(app)
    job = endless.enqueue()
    await_event(began)

    assert app.cancel(job).state == "cancelling"
    job = job.wait(PATIENCE)
    assert (job.state, job.reason) == ("cancelled", "cancelled")
    assert [each.outcome for each in app.attempts(job)] == [OutcomeKind.CANCELLED]


def test_a_thread_heeds_a_cancel_by_its_check(app: Millrace, hire: Hire) -> None:
    began = threading.Event()

    @app.task
    def loop(context: JobContext) -> None:
        began.set()
        while True:
            context.check_cancelled()
            threading.Event().wait(0.005)

    hire(app)
    job = loop.enqueue()
    await_event(began)
    app.cancel(job)

    assert job.wait(PATIENCE).state == "cancelled"


@pytest.mark.parametrize(
    ("end", "state"),
    [("return", "completed"), ("fail", "cancelled"), ("skip", "dead"), ("snooze", "cancelled"), ("heed", "cancelled")],
)
def test_how_a_handler_ends_after_a_cancel_decides(app: Millrace, hire: Hire, end: str, state: str) -> None:
    from millrace import SkipRetry, Snooze

    began = threading.Event()

    @app.task
    def work(context: JobContext) -> str:
        began.set()
        eventually(lambda: context.cancelled)
        match end:
            case "fail":
                raise ValueError("no")
            case "skip":
                raise SkipRetry("no")
            case "snooze":
                raise Snooze(1)
            case "heed":
                raise CancelJob
            case _:
                return "done"

    hire(app)
    job = work.enqueue()
    await_event(began)
    app.cancel(job)

    assert job.wait(PATIENCE).state == state


def test_a_deaf_thread_is_abandoned_after_a_cancel(app: Millrace, hire: Hire) -> None:
    began, held = threading.Event(), threading.Event()

    @app.task
    def deaf() -> None:
        began.set()
        held.wait(PATIENCE)

    worker = hire(app, grace=0.1)
    job = deaf.enqueue()
    await_event(began)
    app.cancel(job)

    assert job.wait(PATIENCE).state == "cancelled"
    assert worker.notices.abandoned.wait()
    held.set()


@pytest.mark.parametrize("task", [sleep, asleep])
def test_a_child_process_is_ended_on_request(children: Millrace, tmp_path: Path, hire: Hire, task: object) -> None:
    hire(children, concurrency=1)
    job = (sleep if task is sleep else asleep).enqueue(tmp_path)
    eventually((tmp_path / "began").exists)
    children.cancel(job)

    assert job.wait(PATIENCE).state == "cancelled"
    assert (tmp_path / "cleaned").exists()


def test_a_child_process_that_returns_in_spite_of_a_cancel_has_completed(
    children: Millrace, tmp_path: Path, hire: Hire
) -> None:
    hire(children, concurrency=1)
    job = stubborn.enqueue(tmp_path)
    eventually((tmp_path / "began").exists)
    children.cancel(job)

    assert (job.wait(PATIENCE).state, job.refresh().result) == ("completed", "done all the same")


def test_a_job_that_is_claimed_and_has_not_begun_is_never_begun_once_cancelled(app: Millrace, hire: Hire) -> None:
    """One slot, held; the second job is claimed ahead by force of a measured pace, then cancelled."""
    held, began = threading.Event(), threading.Event()
    ran: list[int] = []

    @app.task
    def work(number: int) -> None:
        ran.append(number)
        if number == 50:
            began.set()
            held.wait(PATIENCE)

    jobs = app.enqueue_many([work.job(number) for number in range(200)])
    worker = hire(app, concurrency=1)
    await_event(began)
    ahead = next((job for job in jobs[51:] if job.refresh().state == "running"), None)
    assert ahead is not None, "none was claimed ahead"
    app.cancel(ahead)
    assert worker.notices.told.count == 0

    eventually(lambda: ahead.refresh().state == "cancelled")
    held.set()
    for job in jobs:
        app.wait(job, timeout=PATIENCE)
    assert ahead.args["number"] not in ran
    assert app.attempts(ahead) == []
    assert len(ran) == 199


# -- a lost lease


def test_a_handler_whose_lease_was_lost_is_stopped_and_its_outcome_dropped(app: Millrace, hire: Hire) -> None:
    began = threading.Event()
    seen: list[BaseException] = []

    @app.task(lease=0.3)
    async def on_loop() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(error)
        return "dropped"

    worker = hire(app, concurrency=1)
    job = on_loop.enqueue()
    await_event(began)
    steal(app)

    assert worker.notices.lost.wait()
    assert seen
    assert worker.summary.lost == 1
    assert (job.refresh().state, job.refresh().result) == ("completed", "another's")


def test_extend_and_check_tell_a_thread_that_its_lease_is_lost(app: Millrace, hire: Hire) -> None:
    began, stolen = threading.Event(), threading.Event()
    told: list[str] = []

    @app.task
    def work() -> None:
        began.set()
        assert stolen.wait(PATIENCE)
        context = current_job()
        with pytest.raises(LeaseLost, match="is no longer worker"):
            context.extend(10)
        assert context.cancelled
        with pytest.raises(LeaseLost):
            context.check_cancelled()
        told.append("lost")

    worker = hire(app, concurrency=1)
    job = work.enqueue()
    await_event(began)
    steal(app)
    stolen.set()

    assert worker.notices.lost.wait()
    assert told == ["lost"]
    assert job.refresh().result == "another's"


def steal(app: Millrace) -> None:
    """Take the running job away: rescue it as if its lease had passed, claim it by hand and complete it."""
    future = app.store.now() + 3_600_000_000
    assert app.store.rescue(retention=None, dead_retention=None, now=future)
    (taken,) = app.claim()
    app.complete(taken, "another's")


def test_a_signal_to_the_group_does_not_reach_the_children(children: Millrace, tmp_path: Path, hire: Hire) -> None:
    """A terminal's Ctrl-C goes to a whole group of processes; children have one of their own."""
    hire(children, concurrency=1)
    job = sleep.enqueue(tmp_path)
    eventually((tmp_path / "began").exists)
    pid = int((tmp_path / "began").read_text(encoding="utf-8"))

    assert os.getpgid(pid) == pid != os.getpgid(0)
    os.kill(pid, signal.SIGINT)
    children.cancel(job)
    assert job.wait(PATIENCE).state == "cancelled"
