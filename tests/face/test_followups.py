"""`after=`, `on_parent=` and `then`: what a user writes to let jobs wait for others."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, JobNotFound, JobState, Millrace, NewJob, NotSupported, PayloadError, Reason

NOBODY = "0190163d-8694-739b-aea5-966c26f8ad91"


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        app.task(name="add")(add)
        app.task(name="fail", max_attempts=1)(fail)
        yield app


def add(a: int, b: int = 1) -> int:
    return a + b


def fail() -> None:
    raise ValueError("no")


def test_a_job_waits_for_others_and_then_runs(app: Millrace) -> None:
    first, second = app.enqueue_many([NewJob("add", {"a": 1}), NewJob("add", {"a": 2})])
    job = app.enqueue(NewJob("add", {"a": 3}, after=[first, second.id]))
    assert (job.state, job.scheduled_at, job.after) == (JobState.SCHEDULED, None, (first.id, second.id))
    assert app.drain()[JobState.COMPLETED] == 3
    finished = [app.get(id).finished_at for id in (first.id, second.id)]
    assert all(at is not None and (started := job.refresh().started_at) and started >= at for at in finished)


def test_awaited_it_is_the_same(app: Millrace) -> None:
    task = app.registry.names
    assert "add" in task

    async def run() -> None:
        first = await app.aio.enqueue(NewJob("add", {"a": 1}))
        job = await app.aio.enqueue(NewJob("add", {"a": 3}, after=[first]))
        assert job.scheduled_at is None
        many = await app.aio.enqueue_many([NewJob("add", {"a": 4}, after=[job])])
        assert many[0].state == "scheduled"

    asyncio.run(run())
    assert app.drain()[JobState.COMPLETED] == 3


@pytest.mark.parametrize(("rule", "state"), [("wait", "scheduled"), ("cancel", "cancelled"), ("run", "completed")])
def test_the_rule_says_what_becomes_of_it_when_a_parent_dies(app: Millrace, rule: Any, state: str) -> None:
    parent = app.enqueue(NewJob("fail"))
    job = app.enqueue(NewJob("add", {"a": 3}, after=[parent], on_parent=rule))
    app.drain()
    assert job.refresh().state == state
    if rule == "cancel":
        kept = job.refresh()
        assert kept.reason is Reason.PARENT
        expires = app.row_of(kept).expires
        assert expires is not None


def test_a_parent_that_has_ended_acts_before_enqueue_returns(app: Millrace) -> None:
    done, dead = app.enqueue_many([NewJob("add", {"a": 1}), NewJob("fail")])
    app.drain()
    assert app.enqueue(NewJob("add", {"a": 3}, after=[done])).state == "pending"
    assert app.enqueue(NewJob("add", {"a": 3}, after=[dead], on_parent="cancel")).state == "cancelled"


def test_a_parent_that_is_not_there_is_refused_and_nothing_is_stored(app: Millrace) -> None:
    with pytest.raises(JobNotFound, match=f"wait for job {NOBODY}, which is not in memory://; enqueue that one first"):
        app.enqueue_many([NewJob("add", {"a": 1}), NewJob("add", {"a": 3}, after=[NOBODY])])
    assert app.list().jobs == []


def test_parents_may_stand_earlier_in_the_call(app: Millrace) -> None:
    first = NewJob("add", {"a": 1}, id=NOBODY)
    app.enqueue_many([first, NewJob("add", {"a": 3}, after=[first])])
    assert app.drain()[JobState.COMPLETED] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"after": "x"}, "after is a list of jobs or their ids, not the text 'x'"),
        ({"after": 5}, "after is a list of jobs or their ids, not 5"),
        ({"after": [5]}, "5 is not a job id"),
        ({"after": [NewJob("add")]}, "has no id yet"),
        ({"after": [NOBODY], "on_parent": "stop"}, "on_parent='stop' is no rule"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NewJob("add", {"a": 1}, **options)


def test_a_time_of_its_own_counts_too(app: Millrace) -> None:
    first = app.enqueue(NewJob("add", {"a": 1}))
    at = datetime(2100, 1, 1, tzinfo=UTC)
    job = app.enqueue(NewJob("add", {"a": 3}, after=[first], run_at=at))
    delayed = app.enqueue(NewJob("add", {"a": 3}, after=[first], delay=3600))
    app.drain()
    assert (job.refresh().state, job.refresh().scheduled_at) == ("scheduled", at)
    scheduled = delayed.refresh().scheduled_at
    assert scheduled is not None
    assert (scheduled - delayed.created_at).total_seconds() == 3600


def test_a_schedules_job_waits_for_nobody_else(app: Millrace) -> None:
    with pytest.raises(ConfigurationError, match="leave after out"):
        app.schedules.put("daily", every=60, job=NewJob("add", {"a": 1}, after=[NOBODY]))


def test_then_passes_the_result_on() -> None:
    with Millrace("memory://") as app:
        plus = app.task(name="plus")(add)
        chain = plus.then(plus, b=10).then(plus.using(priority=3))
        job = chain.enqueue(1, b=2)
        assert (job.state, job.priority, job.args) == ("scheduled", 3, {})
        assert app.drain()[JobState.COMPLETED] == 3
        assert app.result(job) == 14
        assert asyncio.run(chain.aenqueue(1)).state == "scheduled"


def test_what_cannot_follow_is_refused() -> None:
    with Millrace("memory://") as app:
        plus, lone = app.task(name="plus")(add), app.task(name="fail")(fail)
        never: Any = lone
        for wrong, message in (
            (lambda: plus.then(never), "takes no argument"),
            (lambda: plus.then(plus, a=1), "that argument is the result"),
            (lambda: plus.then(plus.using(unique=None), c=1).enqueue(1), "c"),
        ):
            with pytest.raises((ConfigurationError, PayloadError), match=message):
                wrong()
        assert app.list().jobs == []


def test_it_is_held_in_the_callers_own_transaction(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with Millrace(f"sqlite:///{path}") as app, closing(sqlite3.connect(path)) as connection:
        plus = app.task(name="plus")(add)
        first = plus.enqueue(1)
        rolled = plus.using(after=[first], connection=connection).enqueue(2)
        connection.rollback()
        kept = plus.using(after=[first], connection=connection).enqueue(3)
        assert kept.scheduled_at is None
        with pytest.raises(JobNotFound):
            plus.using(after=[rolled], connection=connection).enqueue(4)
        connection.commit()
        assert app.drain()[JobState.COMPLETED] == 2
        assert kept.refresh().state == "completed"


def test_where_the_store_has_no_transactions_of_callers_that_is_told(app: Millrace) -> None:
    first = app.enqueue(NewJob("add", {"a": 1}))
    with pytest.raises(NotSupported):
        app.enqueue(NewJob("add", {"a": 3}, after=[first]), connection=object())
