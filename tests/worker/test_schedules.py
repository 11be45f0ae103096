"""Workers fire schedules: at their time, each tick once however many workers look, and none for one that is killed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from millrace import Millrace, Worker
from millrace.clock import SECOND
from millrace.scheduling import ScheduleRow, Scheduling
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing import ManualClock
from millrace.worker import maintenance
from millrace.worker.ticker import _LOCK, _MANY, Ticker  # pyright: ignore[reportPrivateUsage]
from tests.worker.waiting import PATIENCE, eventually


def test_a_tick_comes_at_its_time_and_not_with_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_ROUND", 3600.0)
    with Millrace("memory://") as app:
        ran = threading.Event()

        @app.every(seconds=1)
        @app.task
        def tick() -> None:
            ran.set()

        with Worker(app):
            assert ran.wait(PATIENCE)


def test_a_schedule_of_the_code_is_known_to_the_store_once_a_worker_has_started() -> None:
    with Millrace("memory://") as app:
        app.cron("@yearly")(app.task(name="rare")(lambda: None))
        with Worker(app):
            assert [each.name for each in app.schedules.list()] == ["rare"]
            app.every(days=1)(app.task(name="later")(lambda: None))
            eventually(lambda: len(app.schedules.list()) == 2)


def test_a_worker_that_begins_while_the_store_is_away_settles_them_later(monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace.errors import StoreUnavailable

    store = MemoryStore()
    away = threading.Event()
    away.set()
    inner = store.put_schedule

    def put(row: object) -> bool:
        if away.is_set():
            raise StoreUnavailable("the disk is full")
        return inner(row)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(store, "put_schedule", put)
    with Millrace(store) as app:
        app.cron("@yearly")(app.task(name="rare")(lambda: None))
        with Worker(app):
            assert app.schedules.list() == []
            away.clear()
            eventually(lambda: bool(app.schedules.list()))


def race(store: Scheduling, *, threads: int = 8) -> None:
    """Let many look for ticks at the same time."""
    barrier = threading.Barrier(threads)
    failed: list[BaseException] = []

    def look() -> None:
        try:
            barrier.wait(PATIENCE)
            Ticker(store).round()  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failed.append(error)

    lookers = [threading.Thread(target=look) for _ in range(threads)]
    for each in lookers:
        each.start()
    for each in lookers:
        each.join()
    assert failed == []


def test_of_many_that_look_at_once_one_fires(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SQLiteStore(tmp_path / "jobs.db", synchronous="normal", clock=clock)
    with Millrace(store) as app:
        task = app.task(name="tick")(lambda: None)
        for number in range(20):
            app.schedules.put(f"s{number}", every=1, catch_up="all", job=task.job())
        for second in range(1, 11):
            clock.advance(1)
            race(store)
            assert app.depth() == 20 * second
        for number in range(20):
            ticks = [tick.at for tick in store.ticks(f"s{number}")]
            assert ticks == [clock.now() - place * SECOND for place in range(10)]


def test_a_look_without_schedules_is_one_read() -> None:
    asked: list[str] = []

    class Counted(MemoryStore):
        def next_tick(self) -> int | None:
            asked.append("next_tick")
            return super().next_tick()

        def due_schedules(self, *, limit: int = 500, now: int | None = None) -> list[ScheduleRow]:
            asked.append("due_schedules")
            return super().due_schedules(limit=limit, now=now)

    assert Ticker(Counted()).round() is None
    assert asked == ["next_tick"]


def test_one_that_cannot_be_read_does_not_keep_the_worker_looking_all_the_time() -> None:
    store = MemoryStore()
    assert store.put_schedule(ScheduleRow("broken", b"7", next=1))
    ticker = Ticker(store)
    assert ticker.round() is None
    assert ticker.round() is None


def test_many_at_once_are_fired_by_one_and_go_on_when_it_has_died() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    with Millrace(store) as app:
        task = app.task(name="tick")(lambda: None)
        for number in range(_MANY):
            app.schedules.put(f"s{number}", every=60, job=task.job())
        clock.advance(60)
        dead = 77
        assert store.acquire(_LOCK, dead, SECOND)
        assert Ticker(store).round() == clock.now()
        assert app.depth() == 0
        clock.advance(1.1)
        assert Ticker(store).round() == clock.now() + 58.9 * SECOND
        assert app.depth() == _MANY
        clock.advance(60)
        assert Ticker(store).round() is not None
        assert app.depth() == 2 * _MANY, "the lock was not given back"
