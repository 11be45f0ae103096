"""Listeners in process: who hears what, from each verb of the app and from a drain; none can spoil anything."""

# ruff: noqa: ARG001 - listeners take what they are told

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from millrace import CancelJob, ConfigurationError, Millrace, NewJob, SkipRetry, Snooze, current_job, events
from millrace.clock import SECOND
from millrace.events import (
    AttemptEnded,
    AttemptFailed,
    Event,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobDead,
    JobDeleted,
    JobEnqueued,
    JobEvent,
    JobLogged,
    JobProgress,
    JobReleased,
    JobRescheduled,
    JobRetried,
    JobSnoozed,
    JobStarted,
    LeaseLost,
)
from millrace.stores import MemoryStore
from millrace.testing import ManualClock

BEGIN = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Heard:
    """An app on a clock that is moved by hand, and all that was heard of it."""

    def __init__(self, *kinds: Any) -> None:
        self.clock = ManualClock(start=int(BEGIN.timestamp()) * SECOND)
        self.app = Millrace(MemoryStore(clock=self.clock))
        self.events: list[Any] = []
        self.app.on(*(kinds or (JobEvent,)))(self.events.append)

    def take(self) -> list[type[Event]]:
        """Return the kinds of what was heard since the last time."""
        kinds: list[type[Event]] = [type(event) for event in self.events]
        self.events.clear()
        return kinds


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    made.app.close()


def test_a_job_is_told_from_its_enqueue_to_its_end(heard: Heard) -> None:
    @heard.app.task(queue="mail")
    def send() -> str:
        current_job().progress(0.5, "half")
        current_job().log.info("sending", to="ada")
        return "sent"

    job = send.enqueue()
    heard.app.drain()

    enqueued, started, *between, completed = heard.events
    assert (type(enqueued), enqueued.scheduled_at, enqueued.at) == (JobEnqueued, BEGIN, BEGIN)
    assert (type(started), started.attempt, started.claim) == (JobStarted, 1, 1)
    progress = next(event for event in between if isinstance(event, JobProgress))
    assert (progress.fraction, progress.message) == (0.5, "half")
    line = next(event for event in between if isinstance(event, JobLogged))
    assert (line.level, line.message, line.data) == (20, "sending", {"to": "ada"})
    assert (type(completed), completed.worker) == (JobCompleted, job.refresh().worker)
    assert {(job.id, send.name, "mail")} == {(each.job_id, each.task, each.queue) for each in heard.events}


@pytest.mark.parametrize(
    ("error", "kind", "fields"),
    [
        (ValueError("no"), AttemptFailed, {"error": "ValueError: no", "reason": None}),
        (SkipRetry("enough"), JobDead, {"error": "SkipRetry: enough", "reason": "skip-retry"}),
        (CancelJob("stop"), JobCancelled, {"reason": "cancelled"}),
        (Snooze(60), JobSnoozed, {}),
    ],
)
def test_each_end_has_its_event(heard: Heard, error: Exception, kind: type[Event], fields: dict[str, Any]) -> None:
    @heard.app.task
    def end() -> None:
        raise error

    end.enqueue()
    heard.app.drain()

    event = heard.events[-1]
    assert type(event) is kind
    assert fields.items() <= msgspec.structs.asdict(event).items()
    if isinstance(event, (AttemptFailed, JobDead)):
        assert "in end" in (event.traceback or "")
    if isinstance(event, AttemptFailed):
        assert event.retry_at is not None
        assert event.retry_at > BEGIN
    if isinstance(event, JobSnoozed):
        assert event.scheduled_at is not None
        assert (event.scheduled_at - BEGIN).total_seconds() == 60


def test_what_was_there_already_is_not_told_as_enqueued() -> None:
    heard = Heard(JobEnqueued)
    app, job = heard.app, NewJob("ping", unique_key="k")
    app.task(name="ping")(lambda: None)

    app.enqueue(job)
    app.enqueue(job)
    app.enqueue_many([job, NewJob("ping"), job])

    assert [JobEnqueued] * 2 == heard.take()


async def test_async_enqueues_are_told_on_the_running_loop(heard: Heard) -> None:
    ping: Any = heard.app.task(name="ping")(lambda: None)
    loops: list[object] = []

    @heard.app.on(JobEnqueued)
    async def note(event: JobEnqueued) -> None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    await ping.aenqueue()
    await heard.app.aio.enqueue_many([ping.job(), ping.job()])
    await heard.app.aio.drain()

    assert [asyncio.get_running_loop()] * 3 == loops
    assert heard.take().count(JobEnqueued) == 3
    await heard.app.aio.close()


async def test_an_awaited_drain_awaits_listeners_on_the_running_loop(heard: Heard) -> None:
    loops: dict[type[Event], object] = {}

    @heard.app.on(AttemptEnded)
    async def note(event: AttemptEnded) -> None:
        loops[type(event)] = asyncio.get_running_loop()

    @heard.app.task
    async def ping() -> None: ...

    await ping.aenqueue()
    await heard.app.aio.drain()

    assert {JobCompleted: asyncio.get_running_loop()} == loops
    assert [JobEnqueued, JobStarted, JobCompleted] == heard.take()
    await heard.app.aio.close()


def test_the_verbs_of_a_consumer_are_told(heard: Heard) -> None:
    app = heard.app
    app.task(name="ping")(lambda: None)
    for _ in range(3):
        app.enqueue(NewJob("ping"))
    heard.take()

    one, two, three = app.claim(3)
    app.complete(one)
    app.fail(two, "Boom: it broke", retry_in=60)
    app.release(three)

    assert [JobStarted] * 3 + [JobCompleted, AttemptFailed, JobReleased] == heard.take()


def test_a_refused_end_is_not_told(heard: Heard) -> None:
    app = heard.app
    app.task(name="ping")(lambda: None)
    app.enqueue(NewJob("ping"))
    (claimed,) = app.claim(lease=1)
    heard.clock.advance(2)
    assert app.claim()[0].id == claimed.id
    heard.take()

    with pytest.raises(Exception, match="is not yours"):
        app.complete(claimed)

    assert [] == heard.take()


def test_a_lost_lease_that_is_taken_back_is_told_with_what_it_came_to(heard: Heard) -> None:
    app = heard.app
    app.task(name="ping")(lambda: None)
    app.enqueue(NewJob("ping", max_crashes=2))
    for _ in range(2):
        app.claim(lease=1)
        heard.clock.advance(2)
    app.claim()

    lost = [event for event in heard.events if isinstance(event, LeaseLost)]
    assert [(1, "pending"), (2, "dead")] == [(each.crashes, each.state) for each in lost]
    dead = heard.events[-1]
    assert isinstance(dead, JobDead)
    assert "crashed" == dead.reason
    assert (dead.error or "").startswith("LeaseLost: ")
    assert dead.worker == lost[0].worker


def test_the_verbs_that_change_jobs_are_told(heard: Heard) -> None:
    app = heard.app
    app.task(name="ping")(lambda: None)
    job = app.enqueue(NewJob("ping"))
    heard.take()

    app.reschedule(job, datetime(2100, 1, 1, tzinfo=UTC))
    app.cancel(job)
    app.cancel(job)  # it is already: nothing happens
    app.retry(job)
    app.cancel_all()
    app.retry_all(state="cancelled")
    claimed = app.claim()[0]
    app.cancel(job)
    app.complete(claimed)
    app.delete_all(state="completed")

    assert heard.take() == [
        JobRescheduled, JobCancelled, JobRetried, JobCancelled, JobRetried, JobStarted, JobCancelling, JobCompleted,
        JobDeleted,
    ]  # fmt: skip


async def test_the_awaited_verbs_are_told_on_the_running_loop_too(heard: Heard) -> None:
    """Not on the store thread: a listener that enqueues there could wait for itself."""
    app = heard.app
    threads: list[str] = []
    app.task(name="ping")(lambda: None)
    job = await app.aio.enqueue(NewJob("ping"))

    @app.on(JobCancelled)
    def note(event: JobCancelled) -> None:
        threads.append(threading.current_thread().name)

    await app.aio.cancel(job)
    await app.aio.retry(job)
    await app.aio.cancel_all()

    assert [threading.current_thread().name] * 2 == threads
    await app.aio.close()


def test_the_job_of_a_tick_is_told_as_enqueued(heard: Heard) -> None:
    ping = heard.app.task(name="ping")(lambda: None)
    heard.app.schedules.put("each minute", every=60, job=ping.job())
    heard.clock.advance(60)
    heard.app.drain()

    assert [JobEnqueued, JobStarted, JobCompleted] == heard.take()


def test_an_eager_app_tells_in_order() -> None:
    with Millrace("memory://", eager=True) as app:
        told: list[Event] = []
        app.on(JobEvent)(told.append)
        app.task(name="ping")(lambda: None).enqueue()

    assert [JobEnqueued, JobStarted, JobCompleted] == [type(event) for event in told]


@pytest.mark.parametrize("awaited", [False, True])
def test_a_listener_that_fails_is_logged_and_the_others_are_called(
    heard: Heard, caplog: pytest.LogCaptureFixture, *, awaited: bool
) -> None:
    def broken(event: Event) -> None:
        raise ValueError("oh")

    async def abroken(event: Event) -> None:
        raise ValueError("oh")

    heard.app.on(JobEnqueued)(abroken if awaited else broken)
    after: list[Event] = []
    heard.app.on(JobEnqueued)(after.append)

    with caplog.at_level(logging.ERROR, "millrace"):
        job = heard.app.task(name="ping")(lambda: None).enqueue()

    assert (1, "pending") == (len(after), job.refresh().state)
    (record,) = caplog.records
    assert "broken failed when it was told JobEnqueued(" in record.getMessage()
    assert "oh" in (record.exc_text or "")


def test_a_listener_that_exits_ends_no_program(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    def leave(event: Event) -> None:
        raise SystemExit(3)

    heard.app.on(JobEnqueued)(leave)
    with caplog.at_level(logging.ERROR, "millrace"):
        job = heard.app.task(name="ping")(lambda: None).enqueue()

    assert job.refresh().state == "pending"
    assert "leave failed when it was told JobEnqueued(" in caplog.text


@pytest.mark.parametrize(
    "kinds",
    [(JobCompleted | JobDead,), (JobCompleted, JobDead), ((JobDead, JobCompleted),), (JobCompleted, (JobDead,))],
)
def test_kinds_are_named_by_union_tuple_or_one_by_one(kinds: tuple[Any, ...]) -> None:
    heard = Heard(*kinds)
    heard.app.task(name="ping")(lambda: None).enqueue()
    heard.app.drain()

    assert [JobCompleted] == heard.take()


@pytest.mark.parametrize("kinds", [(), (int,), (JobDead | int,), (JobDead.__name__,), (None,)])
def test_what_is_no_event_is_refused(heard: Heard, kinds: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"app\.on\(JobDead\)"):
        heard.app.on(*kinds)


def test_a_listener_must_be_callable(heard: Heard) -> None:
    with pytest.raises(ConfigurationError, match="3 cannot be called"):
        heard.app.on(JobDead)(3)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]


def test_nobody_who_hears_of_enqueues_alone_makes_attempts_cost_anything() -> None:
    heard = Heard(JobEnqueued)

    assert (True, False) == (heard.app.hooks.hears_enqueues, heard.app.hooks.hears_attempts)


def test_every_event_is_public_frozen_and_carries_its_name_as_json() -> None:
    for name in events.__all__:
        kind = getattr(events, name)
        if not isinstance(kind, type):
            continue
        assert issubclass(kind, Event)
        assert kind.__struct_config__.frozen
        assert kind.__struct_config__.tag == name
