"""Following over the store: `app.events`, from a thread and from an event loop, of one job, a queue, and all."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from millrace import ConfigurationError, JobNotFound, Millrace, NewJob, StoreUnavailable, Worker, crowd, current_job
from millrace import feed as feeds
from millrace.events import JobCompleted, JobEnqueued, JobEvent, JobLogged, JobProgress, JobStarted
from millrace.feed import Feed, Follower, Following, JobSight
from millrace.states import ACTIVE
from millrace.stores import MemoryStore
from tests.worker.waiting import PATIENCE, await_event, eventually

TASK = "parse"


def parse(number: int = 0) -> int:
    context = current_job()
    context.log.info("parsing", number=number)
    context.progress(0.5, "halfway")
    return number


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Millrace]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}?synchronous=normal"
    with Millrace(url) as app:
        app.task(name=TASK)(parse)
        yield app


def enqueue(app: Millrace, **options: Any) -> Any:
    return app.enqueue(NewJob(TASK, **options))


def names(events: list[JobEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


WHOLE = ["JobEnqueued", "JobStarted", "JobLogged", "JobProgress", "JobCompleted"]


def test_a_job_is_followed_to_its_end(app: Millrace) -> None:
    job = enqueue(app)
    events = app.events(job=job)
    assert isinstance(next(events), JobEnqueued)
    with Worker(app):
        rest = list(events)

    assert WHOLE[1:] == names(rest)
    line = next(event for event in rest if isinstance(event, JobLogged))
    assert (line.message, line.data) == ("parsing", {"number": 0})
    progress = next(event for event in rest if isinstance(event, JobProgress))
    assert (progress.fraction, progress.message) == (0.5, "halfway")


async def test_a_job_is_followed_from_an_event_loop(app: Millrace) -> None:
    job = await asyncio.to_thread(enqueue, app)

    async def follow() -> list[JobEvent]:
        return [event async for event in app.aio.events(job=job.id)]

    following = asyncio.create_task(follow())
    await app.aio.drain()

    assert WHOLE == names(await asyncio.wait_for(following, PATIENCE))
    await app.aio.close()


def test_another_process_is_followed_over_its_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with Millrace(url) as here, Millrace(url) as there:
        there.task(name=TASK)(parse)
        job = enqueue(there)
        events = here.events(job=str(job.id))
        with Worker(there):
            assert WHOLE == names(list(events))


def test_a_queue_is_followed_from_now_on(app: Millrace) -> None:
    enqueue(app, queue="mail")
    app.drain()
    events = app.events(queue="mail")
    enqueue(app, queue="other")
    job = enqueue(app, queue="mail")
    app.drain()

    told: list[JobEvent] = []
    while "JobCompleted" not in names(told):
        told.append(next(events))
    assert WHOLE == names(told)
    assert {job.id} == {event.job_id for event in told}


def test_all_jobs_are_followed(app: Millrace) -> None:
    events = app.events()
    with Worker(app):
        jobs = {enqueue(app, args={"number": number}, queue=f"q{number % 3}").id for number in range(30)}
        ended: set[object] = set()
        while ended != jobs:
            event = next(events)
            if isinstance(event, JobCompleted):
                assert event.job_id not in ended
                ended.add(event.job_id)


async def test_all_jobs_are_followed_from_an_event_loop(app: Millrace) -> None:
    events = app.aio.events()
    first = asyncio.ensure_future(anext(events))
    feed: Any = app.feed
    await asyncio.to_thread(eventually, lambda: bool(feed._followers))
    await app.aio.enqueue_many([app_job(number) for number in range(3)])
    await app.aio.drain()

    told = [await asyncio.wait_for(first, PATIENCE)]
    while names(told).count("JobCompleted") < 3:
        told.append(await asyncio.wait_for(anext(events), PATIENCE))
    assert 3 == names(told).count("JobEnqueued") == names(told).count("JobStarted")
    assert isinstance(events, AsyncGenerator)
    await events.aclose()
    await app.aio.close()


def app_job(number: int) -> NewJob:
    return NewJob(TASK, {"number": number})


async def test_what_is_there_now_is_told_without_waiting(app: Millrace) -> None:
    first = await asyncio.to_thread(enqueue, app)
    await app.aio.drain()
    second = await asyncio.to_thread(enqueue, app, delay=60)

    assert WHOLE == names(list(app.events(job=first, follow=False)))
    assert ["JobEnqueued"] == names(list(app.events(job=second, follow=False)))
    now = list(app.events(follow=False))
    assert [(first.id, "JobCompleted"), (second.id, "JobEnqueued")] == [
        (event.job_id, type(event).__name__) for event in now
    ]
    assert now == [event async for event in app.aio.events(follow=False)]
    assert [] == list(app.events(queue="other", follow=False))
    await app.aio.close()


def test_a_job_that_is_not_there_is_not_found_at_the_call(app: Millrace) -> None:
    with pytest.raises(JobNotFound, match="no job"):
        app.events(job=uuid4())
    with pytest.raises(JobNotFound, match="no job"):
        app.events(job=uuid4(), follow=False)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"job": uuid4(), "queue": "mail"}, "name one of them"),
        ({"job": "x"}, "'x'"),
        ({"queue": ""}, "queue"),
        ({"follow": 1}, "follow"),
    ],
)
def test_what_cannot_be_followed_is_refused_at_the_call(app: Millrace, options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        app.events(**options)


def test_a_job_that_is_deleted_ends_the_iteration(app: Millrace) -> None:
    job = enqueue(app, delay=60)
    events = app.events(job=job)
    next(events)
    app.delete(job)

    assert ["JobDeleted"] == names(list(events))


def test_closing_the_app_ends_who_follows(app: Millrace) -> None:
    events = app.events()
    failed: list[BaseException] = []
    waiting = threading.Event()

    def follow() -> None:
        waiting.set()
        try:
            next(events)
        except StoreUnavailable as error:
            failed.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    await_event(waiting)
    app.close()
    thread.join(PATIENCE)

    assert "was closed while its events were followed" in str(failed[0])


def test_the_thread_and_the_watch_end_with_the_last_follower(app: Millrace) -> None:
    def feeding() -> bool:
        return any(thread.name == "millrace-feed" for thread in threading.enumerate())

    for _ in range(2):
        one, two = app.events(), app.events(job=enqueue(app))
        assert feeding()
        del one
        gc.collect()
        assert isinstance(two, Following)
        two.close()
        eventually(lambda: not feeding())


def test_followers_of_the_same_share_one_look(app: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    kind: Any = Feed
    seen = kind._seen

    def counted(sight: Any) -> Any:
        looks.append(sight)
        return seen(sight)

    monkeypatch.setattr(Feed, "_seen", staticmethod(counted))
    followers = [app.events() for _ in range(5)]
    enqueue(app)
    for follower in followers:
        assert isinstance(next(follower), JobEnqueued)

    assert 1 == len({id(sight) for sight in looks})


def test_a_store_that_fails_is_told_to_who_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    with Millrace(store) as app:
        job = app.task(name=TASK)(parse).enqueue()
        events = app.events(job=job)
        next(events)

        def broken(_: object) -> Any:
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(store, "get", broken)
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            next(events)


def test_a_watch_that_fails_is_told_to_who_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    with Millrace(store) as app:

        def broken(_: object) -> Any:
            raise StoreUnavailable("no inotify")

        monkeypatch.setattr(store, "watch", broken)
        with pytest.raises(StoreUnavailable, match="no inotify"):
            next(app.events())


def test_one_who_does_not_take_what_is_told_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_MOST_WAITING", 3)
    with Millrace("memory://") as app:
        app.task(name=TASK)(parse)
        job = enqueue(app)
        app.drain()
        told = list(app.events(job=job, follow=False))
        follower = Follower(Feed(app.store), JobSight(app.store, job.row.id))
        follower.give(told)

        assert WHOLE[2:] == names(follower.wait() or [])


def test_a_forked_child_follows_for_itself(app: Millrace) -> None:
    events = app.events()
    feed: Any = app.feed
    feed.reset()  # as after a fork in the child
    assert feed._followers == []
    assert feed._thread is None
    del events


def test_what_ends_while_it_is_looked_at_is_told_by_the_next_look(
    app: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = enqueue(app)
    store = app.store
    sight, all_jobs = JobSight(store, job.row.id), crowd.Crowd(store, None)
    (claimed,) = app.claim()
    read = type(store).attempts

    def ended_in_between(*given: Any) -> Any:
        monkeypatch.setattr(type(store), "attempts", read)
        app.complete(claimed)
        return read(*given)

    monkeypatch.setattr(type(store), "attempts", ended_in_between)
    assert ["JobEnqueued", "JobStarted"] == names(sight.look())
    assert sight.busy
    assert ["JobCompleted"] == names(sight.look())
    assert sight.ended
    assert ["JobStarted", "JobCompleted"] == names(all_jobs.look())


def test_a_job_that_ends_while_the_running_ones_are_read_is_told_once(
    app: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = enqueue(app)
    store = app.store
    sight = crowd.Crowd(store, None)
    (claimed,) = app.claim()
    page = type(store).page

    def late(self: Any, which: Any, **options: Any) -> Any:
        rows, cursor = page(self, which, **options)
        if which.states == ACTIVE:  # as where it ends between the finding of its id and the reading of its row
            monkeypatch.setattr(type(store), "page", page)
            app.complete(claimed)
            rows = [row for row in store.get([row.id for row in rows]) if row is not None]
        return rows, cursor

    monkeypatch.setattr(type(store), "page", late)
    assert ["JobStarted", "JobCompleted"] == names(sight.look())
    assert [] == sight.look()
    assert job.refresh().state == "completed"


def test_a_job_that_comes_and_starts_while_its_queue_is_looked_at_is_told_whole_and_once(
    app: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = app.store
    sight = crowd.Crowd(store, None)
    page = type(store).page

    def late(self: Any, which: Any, **options: Any) -> Any:
        if which.states == ACTIVE:  # the new ones were read
            monkeypatch.setattr(type(store), "page", page)
            enqueue(app)
            app.claim()
        return page(self, which, **options)

    monkeypatch.setattr(type(store), "page", late)
    assert ["JobEnqueued", "JobStarted"] == names(sight.look())
    (job,) = app.list()
    app.complete(job)
    assert ["JobCompleted"] == names(sight.look())
    assert [] == sight.look()


def test_jobs_beyond_those_that_are_followed_are_told_when_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "MOST_FOLLOWED", 1)
    with Millrace("memory://") as app:
        app.task(name=TASK)(parse)
        for _ in range(5):
            enqueue(app)
        sight = crowd.Crowd(app.store, None)
        claimed = app.claim(2)
        told = sight.look()
        assert {job.id for job in claimed} == {event.job_id for event in told if isinstance(event, JobStarted)}
        for job in claimed:
            app.complete(job)
        assert ["JobCompleted"] * 2 == names(sight.look())
