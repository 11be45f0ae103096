"""Schedules as users hold them: put, decorate, pause, resume, edit, run now; and what becomes of ticks meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from millrace import Millrace, NewJob
from millrace.clock import SECOND, to_datetime
from millrace.errors import ConfigurationError, NotSupported, ScheduleError, UnknownTask
from millrace.scheduling import ScheduleRow
from millrace.states import JobState
from millrace.store import Store
from millrace.stores import MemoryStore
from millrace.testing import ManualClock

BEGIN = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday


class Bench:
    """An app on a clock that is moved by hand, and what its tasks have run."""

    def __init__(self, clock: ManualClock, store: MemoryStore, **options: Any) -> None:
        self.clock, self.store = clock, store
        self.app = Millrace(store, **options)
        self.ran: list[str] = []
        self.work = self.app.task(name="work")(self._work)

    def _work(self, note: str = "") -> None:
        self.ran.append(note)

    def later(self, seconds: float) -> int:
        """Let time pass, and run what is due; return how much ran."""
        self.clock.advance(seconds)
        before = len(self.ran)
        self.app.drain()
        return len(self.ran) - before

    def row(self, name: str) -> ScheduleRow:
        """Read what is stored."""
        row = self.store.schedule(name)
        assert row is not None
        return row


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start=int(BEGIN.timestamp()) * SECOND)


@pytest.fixture
def store(clock: ManualClock) -> Iterator[MemoryStore]:
    made = MemoryStore(clock=clock)
    yield made
    made.close()


@pytest.fixture
def bench(clock: ManualClock, store: MemoryStore) -> Bench:
    return Bench(clock, store)


# -- at run time


def test_an_interval_counts_from_its_first_put(bench: Bench) -> None:
    made = bench.app.schedules.put("each minute", every=60, job=bench.work.job("a"))
    assert made.next_at == BEGIN + timedelta(seconds=60)
    assert [bench.later(seconds) for seconds in (59, 1, 59, 1)] == [0, 1, 0, 1]
    assert bench.ran == ["a", "a"]
    assert bench.app.schedules.get("each minute").last_at == BEGIN + timedelta(seconds=120)


def test_the_same_put_again_keeps_where_it_counts_from(bench: Bench) -> None:
    bench.app.schedules.put("each minute", every=60, job=bench.work.job("a"))
    bench.later(30)
    again = bench.app.schedules.put("each minute", every=timedelta(minutes=1), job=bench.work.job("b"))
    assert again.next_at == BEGIN + timedelta(seconds=60)
    assert bench.later(30) == 1
    assert bench.ran == ["b"]


def test_another_interval_counts_anew_and_fires_nothing_twice(bench: Bench) -> None:
    bench.app.schedules.put("s", every=60, job=bench.work.job())
    assert bench.later(60) == 1
    bench.later(10)
    made = bench.app.schedules.put("s", every=20, job=bench.work.job())
    assert made.next_at == BEGIN + timedelta(seconds=90)
    assert [bench.later(seconds) for seconds in (19, 1)] == [0, 1]


def test_by_cron_in_a_time_zone(bench: Bench) -> None:
    made = bench.app.schedules.put("morning", cron="0 9 * * mon-fri", timezone="Europe/Berlin", job=bench.work.job())
    assert made.next_at == datetime(2026, 5, 5, 7, tzinfo=UTC)
    assert (made.cron, made.every, made.timezone) == ("0 9 * * mon-fri", None, "Europe/Berlin")
    assert bench.later(19 * 3600) == 1


@pytest.mark.parametrize(("catch_up", "ran"), [("latest", 1), ("skip", 0), ("all", 10)])
def test_what_was_missed_is_made_up_for_as_was_asked(bench: Bench, catch_up: Any, ran: int) -> None:
    bench.app.schedules.put("s", every=120, catch_up=catch_up, job=bench.work.job())
    assert bench.later(10 * 120 + 90) == ran
    assert bench.later(30) == 1


def test_a_tick_is_passed_over_while_the_last_job_is_not_done(bench: Bench) -> None:
    bench.app.schedules.put("s", every=60, overlap="skip", job=NewJob(bench.work, queue="slow"))
    bench.app.pause("slow")
    for _ in range(3):
        bench.later(60)
    assert bench.app.depth("slow") == 1
    bench.app.resume("slow")
    assert bench.later(0) == 1
    assert bench.later(60) == 1


def test_without_that_they_pile_up(bench: Bench) -> None:
    bench.app.schedules.put("s", every=60, job=NewJob(bench.work, queue="slow"))
    bench.app.pause("slow")
    for _ in range(3):
        bench.later(60)
    assert bench.app.depth("slow") == 3


def test_paused_it_ticks_not_and_resumed_it_makes_up_for_nothing(bench: Bench) -> None:
    schedules = bench.app.schedules
    schedules.put("s", every=60, catch_up="all", job=bench.work.job())
    assert schedules.pause("s").paused
    assert schedules.get("s").next_at is None
    assert bench.later(1000) == 0
    resumed = schedules.resume("s")
    assert not resumed.paused
    assert resumed.next_at == BEGIN + timedelta(seconds=1020)
    assert [bench.later(0), bench.later(20)] == [0, 1]


def test_a_put_leaves_it_paused(bench: Bench) -> None:
    bench.app.schedules.put("s", every=60, job=bench.work.job())
    bench.app.schedules.pause("s")
    assert bench.app.schedules.put("s", every=30, job=bench.work.job()).paused
    assert bench.later(100) == 0


def test_run_now_takes_nothing_from_the_ticks(bench: Bench) -> None:
    bench.app.schedules.put("s", every=60, job=bench.work.job("x"))
    bench.clock.advance(30)
    job = bench.app.schedules.run_now("s")
    assert (job.task, job.args, job.state) == ("work", {"note": "x"}, JobState.PENDING)
    assert [bench.later(0), bench.later(30)] == [1, 1]


def test_deleted_it_is_gone_and_its_jobs_stay(bench: Bench) -> None:
    bench.app.schedules.put("s", every=60, job=NewJob(bench.work, queue="slow"))
    bench.app.pause("slow")
    bench.later(60)
    bench.app.schedules.delete("s")
    assert bench.app.schedules.list() == []
    assert bench.app.depth() == 1
    for verb in ("get", "pause", "resume", "delete", "run_now"):
        with pytest.raises(ScheduleError, match="no schedule 's' in memory://; known are: none"):
            getattr(bench.app.schedules, verb)("s")


def test_between_a_start_and_an_end(bench: Bench) -> None:
    bench.app.schedules.put(
        "s", every=60, start=BEGIN + timedelta(seconds=100), end=BEGIN + timedelta(seconds=190), job=bench.work.job()
    )
    assert [bench.later(60) for _ in range(5)] == [0, 1, 1, 0, 0]
    assert bench.app.schedules.get("s").next_at is None


def test_jobs_are_put_off_by_a_jitter(bench: Bench) -> None:
    bench.app.schedules.put("s", every=3600, jitter=600, job=bench.work.job())
    assert bench.later(3600) == 0
    (job,) = bench.app.list()
    assert job.scheduled_at is not None
    assert BEGIN + timedelta(hours=1) < job.scheduled_at <= BEGIN + timedelta(hours=1, minutes=10)
    assert bench.later(600) == 1


def test_a_job_of_a_tick_has_what_its_newjob_was_given(bench: Bench) -> None:
    given = NewJob(bench.work, {"note": "n"}, queue="slow", priority=7, max_attempts=2, tags=["t"], retention=5)
    bench.app.pause("slow")
    bench.app.schedules.put("s", every=60, job=given)
    bench.later(60)
    (job,) = bench.app.list()
    assert (job.args, job.queue, job.priority, job.max_attempts, job.tags) == ({"note": "n"}, "slow", 7, 2, ("t",))


def test_two_that_put_at_once_both_succeed(bench: Bench) -> None:
    barrier = threading.Barrier(8)

    def put(number: int) -> None:
        barrier.wait()
        for _ in range(10):
            bench.app.schedules.put("s", every=60 + number, job=bench.work.job(str(number)))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.row("s").rev <= 80
    assert bench.app.schedules.get("s").every in range(60, 68)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, ScheduleError, "either cron= or every="),
        ({"cron": "* * * * *", "every": 5}, ScheduleError, "either cron= or every="),
        ({"cron": "* * *"}, ScheduleError, "wrong number of fields"),
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, ScheduleError, "is not known here"),
        ({"cron": 5}, ScheduleError, "cron=5 is no text"),
        ({"cron": "* * * * *", "timezone": UTC}, ScheduleError, "timezone=.*utc is no text; give an IANA name"),
        ({"every": 0.1}, ScheduleError, "too often"),
        ({"every": -5}, ConfigurationError, "every"),
        ({"every": 60, "catch_up": "some"}, ConfigurationError, "catch_up='some' is not known"),
        ({"every": 60, "overlap": "queue"}, ConfigurationError, "overlap='queue' is not known"),
        ({"every": 60, "jitter": -1}, ConfigurationError, "jitter"),
        ({"every": 60, "start": datetime(2026, 1, 1)}, ConfigurationError, "start"),  # noqa: DTZ001 - that is the point
        ({"every": 60, "start": BEGIN, "end": BEGIN - timedelta(1)}, ScheduleError, "before it starts"),
    ],
)
def test_what_is_not_understood_is_refused_and_nothing_stored(
    bench: Bench, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        bench.app.schedules.put("s", job=bench.work.job(), **options)
    assert bench.app.schedules.list() == []


def test_a_job_that_cannot_be_a_schedules_is_refused(bench: Bench) -> None:
    put = bench.app.schedules.put
    with pytest.raises(UnknownTask, match=r"no task 'unheard'.*it has work"):
        put("s", every=60, job=NewJob("unheard"))
    with pytest.raises(ConfigurationError, match="leave delay, run_at and id out"):
        put("s", every=60, job=NewJob(bench.work, delay=5))
    with pytest.raises(ConfigurationError, match="is not a NewJob"):
        put("s", every=60, job=cast("NewJob", "work"))


def test_a_store_without_them_says_so(bench: Bench) -> None:
    class Bare:
        url, parallel_steps = "bare://", 1

        def __getattr__(self, verb: str) -> Any:
            if verb in {"schedules", "fire", "put_schedule"}:
                raise AttributeError(verb)
            return getattr(bench.store, verb)

    app = Millrace(cast("Store", Bare()))
    with pytest.raises(NotSupported, match="bare:// keeps no schedules"):
        app.schedules.list()


# -- in the code


def decorated(clock: ManualClock, store: MemoryStore, minutes: float = 5, **options: Any) -> Bench:
    """Make an app whose code has one schedule."""
    bench = Bench(clock, store, **options)
    bench.app.every(minutes=minutes, name="code's")(bench.work)
    return bench


def test_a_schedule_in_the_code_ticks(clock: ManualClock, store: MemoryStore) -> None:
    bench = decorated(clock, store)
    assert [bench.later(seconds) for seconds in (0, 299, 1, 300)] == [0, 0, 1, 1]
    assert bench.app.schedules.get("code's").origin == "code"


def test_a_restart_neither_loses_nor_doubles_a_tick(clock: ManualClock, store: MemoryStore) -> None:
    first = decorated(clock, store)
    first.later(0)
    assert first.later(310) == 1
    clock.advance(280)
    again = decorated(clock, store)
    assert [again.later(0), again.later(10)] == [0, 1]


def test_what_the_code_no_longer_has_is_paused_and_comes_back(clock: ManualClock, store: MemoryStore) -> None:
    decorated(clock, store).later(0)
    without = Bench(clock, store)
    assert without.later(600) == 0
    assert without.app.schedules.get("code's").paused
    again = decorated(clock, store)
    assert again.later(0) == 0
    assert not again.app.schedules.get("code's").paused
    assert again.later(300) == 1


def test_one_that_somebody_has_paused_stays_paused(clock: ManualClock, store: MemoryStore) -> None:
    bench = decorated(clock, store)
    bench.later(0)
    bench.app.schedules.pause("code's")
    again = decorated(clock, store)
    assert again.later(900) == 0
    assert again.app.schedules.get("code's").paused


def test_code_of_a_lower_release_leaves_a_newer_ones_alone(clock: ManualClock, store: MemoryStore) -> None:
    decorated(clock, store, minutes=10, release=2).later(0)
    decorated(clock, store, minutes=1, release=1).later(0)
    assert Bench(clock, store, release=1).later(0) == 0
    kept = store.schedule("code's")
    assert kept is not None
    assert not kept.paused
    newer = decorated(clock, store, minutes=3, release=3)
    newer.later(0)
    assert newer.app.schedules.get("code's").every == 180


def test_one_put_at_run_time_is_not_the_codes(clock: ManualClock, store: MemoryStore) -> None:
    bench = decorated(clock, store)
    bench.app.schedules.put("code's", every=7, job=bench.work.job())
    bench.app.schedules.put("another", every=9, job=bench.work.job())
    bench.later(0)
    assert bench.app.schedules.get("code's").every == 7
    assert not bench.app.schedules.get("another").paused


def test_the_code_of_another_app_on_the_same_store_is_left_alone(clock: ManualClock, store: MemoryStore) -> None:
    """Its worker lives, and knows the task; here neither the task nor its module is known."""
    theirs = Millrace(store)
    theirs.every(minutes=1)(theirs.task(name="mail.sweep")(lambda: None))
    theirs.drain()
    from millrace.records import WorkerRow

    store.register(WorkerRow(1, "host:1", 0, 0, b'{"tasks":["mail.sweep"]}'))
    Bench(clock, store).later(0)
    assert not Bench(clock, store).row("mail.sweep").paused
    store.forget_workers(2**60)
    Bench(clock, store).later(0)
    assert Bench(clock, store).row("mail.sweep").paused


def test_decorators_return_the_task_and_name_the_schedule_after_it() -> None:
    app = Millrace("memory://")

    @app.cron("@daily")
    @app.task(name="tidy")
    def tidy(days: int = 7) -> int:
        return days

    assert tidy(3) == 3
    app.settle_schedules()
    (made,) = app.schedules.list()
    assert (made.name, made.task, made.cron) == ("tidy", "tidy", "@daily")


def test_what_a_decorator_refuses_it_refuses_where_it_stands() -> None:
    app, other = Millrace("memory://"), Millrace("memory://")

    def needs(number: int) -> None:
        del number

    task = app.task(name="fine")(lambda: None)
    with pytest.raises(ScheduleError, match="wrong number of fields"):
        app.cron("* *")(task)
    with pytest.raises(ConfigurationError, match="not positive"):
        app.every()(task)
    with pytest.raises(ScheduleError, match="too often"):
        app.every(seconds=0.5)(task)
    with pytest.raises(ScheduleError, match=r"every\(minutes='5'\) is no distance of two ticks: .*; give numbers"):
        app.every(minutes=cast("Any", "5"))
    with pytest.raises(ConfigurationError, match=r"no option .ovrlap.; it has catch_up, end, jitter, overlap"):
        app.every(minutes=5, **cast("Any", {"ovrlap": "skip"}))
    with pytest.raises(ConfigurationError, match="has no option 'catchup'"):
        app.cron("@daily", **cast("Any", {"catchup": "all"}))
    with pytest.raises(ScheduleError, match="is no text; write minute"):
        app.cron(cast("Any", task))
    with pytest.raises(ConfigurationError, match=r"is not a task; put the schedule above @app\.task"):
        app.every(minutes=1)(needs)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="needs number, which a schedule in the code does not give"):
        app.every(minutes=1)(app.task(needs))
    with pytest.raises(ConfigurationError, match="another app's"):
        other.every(minutes=1)(task)
    app.every(minutes=1)(task)
    with pytest.raises(ConfigurationError, match="two schedules are named 'fine'; give one of them name="):
        app.cron("@daily")(task)
    app.cron("@daily", name="fine too")(task)


def test_a_broken_one_does_not_stop_the_others(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    assert bench.store.put_schedule(ScheduleRow("broken", b'{"timetable":7}', next=1))
    bench.app.schedules.put("s", every=60, job=bench.work.job())
    assert bench.later(60) == 1
    assert "schedule 'broken' is stored in a way that this Millrace cannot read" in caplog.text
    with pytest.raises(ScheduleError, match="put it again, or delete it"):
        bench.app.schedules.get("broken")
    bench.app.schedules.put("broken", every=60, job=bench.work.job())
    assert to_datetime(bench.row("broken").next or 0) == BEGIN + timedelta(seconds=120)
