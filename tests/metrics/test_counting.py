"""What is counted of an app's jobs, on its stores and with each runner: each once, under its task and queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace import Backoff, CancelJob, JobState, Millrace, NewJob, Snooze, StoreUnavailable, Worker, current_job
from millrace.measuring import Measured, measure
from millrace.meteredstore import metered
from millrace.metrics.families import (
    ATTEMPTS,
    DELAY_SECONDS,
    DEPTH,
    ENQUEUED,
    LEASES_LOST,
    OLDEST_SECONDS,
    PROCESSES,
    RUN_SECONDS,
    RUNNING,
    SLOTS,
    STALE,
    STORE_ERRORS,
    STORE_SECONDS,
    STORE_UP,
    Family,
)
from millrace.metrics.meter import Meter
from millrace.metrics.readings import Readings
from millrace.scheduling import Scheduling
from millrace.store import CallerTransactions, Store
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing import ManualClock
from millrace.transfer import Transfer
from millrace.worker.floor import Floor
from millrace.worker.floors import make_floor
from millrace.worker.notice import Notices
from tests.worker.waiting import PATIENCE, await_event, eventually

Make = Callable[[], Millrace]


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Millrace]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal"
    with Millrace(url) as app:
        measure(app)
        yield app


def read(app: Millrace) -> Readings:
    return measure(app).read()


def number_in(readings: Readings, family: Family, *labels: str) -> int:
    return sum(readings.spread(family, labels).counts)


def test_a_job_of_each_end_is_counted_once_under_its_end(app: Millrace) -> None:
    once: list[str] = []

    @app.task(name="end", queue="mail", max_attempts=2, retry=Backoff.fixed(0))
    def end(how: str) -> None:
        match how:
            case "cancelled":
                raise CancelJob("enough")
            case "snoozed" if how not in once:
                once.append(how)
                raise Snooze(0)
            case "dead":
                raise ValueError(how)
            case _:
                return

    app.enqueue_many([end.job(how) for how in ("completed", "cancelled", "snoozed", "dead")])
    app.drain()

    readings = read(app)
    ended = {labels[2]: number for labels, number in readings.of(ATTEMPTS)}
    assert ended == {"completed": 2, "cancelled": 1, "snoozed": 1, "failed": 1, "dead": 1}
    assert readings.value(ENQUEUED, "end", "mail") == 4
    assert number_in(readings, RUN_SECONDS, "end", "mail") == 6
    assert number_in(readings, DELAY_SECONDS, "end", "mail") == 6


@pytest.mark.parametrize("run_in", ["thread", "loop"])
def test_a_worker_counts_what_its_runners_run(app: Millrace, run_in: str) -> None:
    async def on_the_loop(number: int) -> int:
        return number

    def in_a_thread(number: int) -> int:
        return number

    task = app.task(name="run")(on_the_loop) if run_in == "loop" else app.task(name="run")(in_a_thread)
    jobs = app.enqueue_many([task.job(number) for number in range(300)])
    with Worker(app):
        for job in jobs:
            job.wait(PATIENCE)

    readings = read(app)
    assert readings.value(ATTEMPTS, "run", "default", "completed") == 300
    assert number_in(readings, RUN_SECONDS, "run", "default") == 300
    assert number_in(readings, DELAY_SECONDS, "run", "default") == 300
    assert not readings.of(SLOTS)  # it is not there any more


def test_what_runs_is_told_while_it_runs_and_its_delay_before_it_ends(app: Millrace) -> None:
    begun, go = threading.Event(), threading.Event()

    @app.task(name="hold", queue="slow")
    def hold() -> None:
        begun.set()
        assert go.wait(PATIENCE)

    with Worker(app, concurrency=3):
        hold.enqueue()
        await_event(begun)
        readings = read(app)
        go.set()
        assert (readings.value(RUNNING, "hold", "slow"), readings.value(SLOTS)) == (1, 3)
        assert readings.value(PROCESSES) == 1
        assert number_in(readings, DELAY_SECONDS, "hold", "slow") == 1
        eventually(lambda: not read(app).of(RUNNING))


def test_jobs_in_child_processes_are_counted_by_their_parent(app: Millrace) -> None:
    from tests.worker.childtasks import app as children
    from tests.worker.childtasks import pid

    for spec in children.registry:
        app.registry.add(spec)
    job = app.enqueue(NewJob(pid))
    app.drain()

    assert job.refresh().state is JobState.COMPLETED
    assert read(app).value(ATTEMPTS, pid.name, "default", "completed") == 1
    assert number_in(read(app), RUN_SECONDS, pid.name, "default") == 1


@pytest.mark.parametrize("name", ["enqueue_another", "aenqueue_another"])
def test_what_handlers_enqueue_in_child_processes_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A store that processes share: the child's app is of the same module, and has a connection of its own."""
    monkeypatch.setenv("MILLRACE_URL", f"sqlite:///{tmp_path / 'jobs.db'}")
    from tests.metrics import spawningtasks

    app = Millrace()
    for spec in spawningtasks.app.registry:
        app.registry.add(spec)
    task = f"{spawningtasks.__name__}.{name}"
    measure(app)
    app.enqueue_many([NewJob(task), NewJob(task)])
    app.drain()

    readings = read(app)
    assert readings.value(ENQUEUED, task, "default") == 2
    assert readings.value(ENQUEUED, f"{spawningtasks.__name__}.another", "default") == 2
    assert app.counts()[JobState.COMPLETED] == 4
    app.close()


def test_the_time_of_a_handler_is_taken_from_its_start_to_its_end(
    app: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = 1000.0
    monkeypatch.setattr("millrace.worker.meteredfloor.uptime", lambda: time)

    @app.task(name="long")
    def long() -> None:
        nonlocal time
        time += 40.0

    long.enqueue()
    app.drain()

    assert read(app).spread(RUN_SECONDS, ("long", "default")).sum == pytest.approx(40.0)


def test_the_delay_counts_from_when_a_job_was_due() -> None:
    clock = ManualClock()
    app = Millrace(MemoryStore(clock=clock))
    measure(app)
    ping = app.task(name="ping")(lambda: None)
    ping.using(delay=100).enqueue()
    clock.advance(160)
    app.drain()

    assert read(app).spread(DELAY_SECONDS, ("ping", "default")).sum == pytest.approx(60.0, abs=5)
    app.close()


def test_a_lost_lease_is_counted_by_who_takes_it_back_and_its_stale_finish_by_who_is_refused() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    app = Millrace(store)
    measure(app)

    @app.task(name="slow", queue="mail", lease=10)
    def slow() -> None:
        if current_job().job.crashes == 0:
            clock.advance(60)
            store.rescue(retention=None, dead_retention=None)  # another worker's

    slow.enqueue()
    app.drain()

    readings = read(app)
    assert readings.value(STALE, "slow", "mail") == 1
    assert readings.value(ATTEMPTS, "slow", "mail", "completed") == 1  # the second one
    assert not readings.of(LEASES_LOST)  # that was the other's

    slow.enqueue()
    app.claim()
    clock.advance(60)
    app.drain()
    assert read(app).value(LEASES_LOST, "slow", "mail") == 1
    app.close()


def test_every_way_to_store_a_job_is_counted_and_one_that_was_there_is_not(app: Millrace) -> None:
    ping = app.task(name="ping")(lambda: None)

    ping.enqueue()
    app.enqueue(ping.job())
    app.enqueue_many([ping.job() for _ in range(5)])
    for _ in range(2):
        ping.using(unique_key="one").enqueue()
    with pytest.warns(UserWarning, match="no task"):
        app.enqueue(NewJob("elsewhere", queue="far"))

    readings = read(app)
    assert (readings.value(ENQUEUED, "ping", "default"), readings.value(ENQUEUED, "elsewhere", "far")) == (8, 1)


async def test_jobs_enqueued_from_a_loop_are_counted(app: Millrace) -> None:
    ping = app.task(name="ping")(lambda: None)
    await ping.aenqueue()
    await app.aio.enqueue_many([ping.job(), ping.job()])

    assert read(app).value(ENQUEUED, "ping", "default") == 3


def test_jobs_written_in_a_callers_transaction_are_counted_when_they_are_written(tmp_path: Path) -> None:
    import sqlite3

    app = Millrace(f"sqlite:///{tmp_path / 'jobs.db'}")
    measure(app)
    ping = app.task(name="ping")(lambda: None)
    app.depth()
    connection = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    connection.execute("BEGIN")
    ping.using(connection=connection).enqueue()
    connection.execute("COMMIT")
    connection.close()

    assert read(app).value(ENQUEUED, "ping", "default") == 1
    app.close()


def test_the_jobs_of_schedules_are_counted() -> None:
    clock = ManualClock()
    app = Millrace(MemoryStore(clock=clock))
    measure(app)
    app.every(minutes=1)(app.task(name="tick")(lambda: None))
    app.drain()
    clock.advance(61)
    app.drain()

    assert read(app).value(ENQUEUED, "tick", "default") == 1
    app.close()


def test_calls_of_the_store_are_timed_and_their_errors_counted_by_class() -> None:
    app = Millrace("memory://")
    meter = measure(app)
    app.depth()
    store = app.store
    app.close()
    with pytest.raises(StoreUnavailable):
        store.depth()

    readings = meter.read()
    assert number_in(readings, STORE_SECONDS, "depth") == 2
    assert readings.of(STORE_ERRORS) == [(("depth", "StoreUnavailable"), 1)]


def test_an_app_that_was_closed_is_measured_when_it_is_open_again() -> None:
    app = Millrace("memory://")
    measured = Measured(app)
    ping = app.task(name="ping")(lambda: None)
    ping.enqueue()
    app.close()
    assert measured.read().value(STORE_UP) == 0
    app.open()
    ping.enqueue()

    assert measured.own().value(ENQUEUED, "ping", "default") == 2
    app.close()


def test_to_measure_an_app_again_is_to_measure_it_once(app: Millrace) -> None:
    assert measure(app) is measure(app)
    app.task(name="ping")(lambda: None).enqueue()

    assert read(app).value(ENQUEUED, "ping", "default") == 1


@pytest.mark.parametrize("make", [MemoryStore, lambda: SQLiteStore("never-made.db")], ids=["memory", "sqlite"])
@pytest.mark.parametrize("capability", [CallerTransactions, Scheduling, Transfer])
def test_a_measured_store_can_do_what_it_could_before(make: Callable[[], Store], capability: type) -> None:
    store = make()

    assert isinstance(metered(store, Meter()), capability) == isinstance(store, capability)
    assert metered(store, Meter()).url == store.url
    store.close()


def test_an_app_that_nobody_measures_has_a_plain_store_and_a_plain_floor() -> None:
    with Millrace("memory://") as app:
        assert type(app.store) is MemoryStore
        assert type(make_floor(app, Notices(), tasks=None, grace=1.0)) is Floor


def test_what_waits_is_told_by_queue_and_an_empty_queue_as_empty() -> None:
    clock = ManualClock()
    app = Millrace(MemoryStore(clock=clock))
    measured = Measured(app)
    ping, pong = app.task(name="ping", queue="a")(lambda: None), app.task(name="pong", queue="b")(lambda: None)
    app.enqueue_many([ping.job(), ping.job(), pong.job()])
    clock.advance(30)
    readings = measured.read()
    assert readings.of(DEPTH) == [(("a",), 2), (("b",), 1)]
    assert readings.of(OLDEST_SECONDS) == [(("a",), 30), (("b",), 30)]

    app.drain()
    eventually(lambda: measured.backlog().of(DEPTH) == [(("a",), 0), (("b",), 0)])
    assert measured.backlog().of(OLDEST_SECONDS) == [(("a",), 0), (("b",), 0)]
    app.close()
