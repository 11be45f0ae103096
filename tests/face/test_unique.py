from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from millrace import ConfigurationError, DuplicateJob, Millrace, NewJob, Unique


@pytest.fixture
def app() -> Iterator[Millrace]:
    with Millrace("memory://") as app:
        yield app


def greet(user: int, text: str = "hello", *, day: date = date(2026, 1, 1)) -> None: ...


def test_the_same_arguments_are_one_live_job_defaults_included(app: Millrace) -> None:
    task = app.task(unique=Unique())(greet)
    first = task.enqueue(1)

    again = [
        task.enqueue(1, "hello"),
        task.enqueue(text="hello", user=1, day=date(2026, 1, 1)),
        asyncio.run(task.aenqueue(1)),
        app.enqueue(task.job(1)),
        app.enqueue(NewJob(task.name, {"user": 1})),
        *app.enqueue_many([task.job(1), NewJob(task.name, {"day": "2026-01-01", "user": 1})]),
    ]

    assert {(job.id, job.duplicate) for job in again} == {(first.id, True)}
    assert not task.enqueue(1, "hi").duplicate
    assert app.depth() == 2


def test_only_the_arguments_named_count(app: Millrace) -> None:
    task = app.task(unique=Unique(by=["user", "day"]))(greet)

    assert task.enqueue(1, "a").id == task.enqueue(1, "b").id
    assert not task.enqueue(2, "a").duplicate


def test_no_argument_named_is_the_task_as_a_whole(app: Millrace) -> None:
    task = app.task(unique=Unique(by=()))(greet)

    assert task.enqueue(1).id == task.enqueue(2).id


def test_a_rule_is_per_task(app: Millrace) -> None:
    one = app.task(name="one", unique=Unique())(greet)
    two = app.task(name="two", unique=Unique())(greet)

    assert one.enqueue(1).unique_key != two.enqueue(1).unique_key
    assert app.depth() == 2


def test_the_key_is_free_once_its_holder_has_ended(app: Millrace) -> None:
    task = app.task(unique=Unique())(greet)
    app.cancel(task.enqueue(1))

    assert not task.enqueue(1).duplicate


def test_a_rule_that_rejects_raises_and_names_the_holder(app: Millrace) -> None:
    task = app.task(unique=Unique(on_conflict="reject"))(greet)
    first = task.enqueue(1)

    with pytest.raises(DuplicateJob, match=rf"job {first.id} \(pending\) has the same arguments") as caught:
        task.enqueue(1)
    assert caught.value.job is not None
    assert caught.value.job.id == first.id
    with pytest.raises(DuplicateJob):
        asyncio.run(task.aenqueue(1))
    with pytest.raises(DuplicateJob):
        app.enqueue(NewJob(task.name, {"user": 1}))
    with pytest.raises(DuplicateJob):
        asyncio.run(app.aio.enqueue(task.job(1)))
    with pytest.raises(DuplicateJob, match=rf"job {first.id} \(pending\) has the same arguments"):
        app.enqueue_many([task.job(2), task.job(1)])
    with pytest.raises(DuplicateJob, match="jobs 1 and 2 of the call have the same arguments"):
        app.enqueue_many([task.job(2), task.job(3), task.job(3)])
    assert app.depth() == 1


def test_using_may_bring_another_rule_or_a_plain_key(app: Millrace) -> None:
    task = app.task(unique=Unique())(greet)

    assert task.using(unique_key="mine").enqueue(1).unique_key == "mine"
    assert task.using(unique=Unique(by=())).enqueue(1).unique_key != task.enqueue(1).unique_key
    assert task.using(unique_key="mine").using(unique=Unique()).enqueue(3).unique_key == task.enqueue(3).unique_key
    with pytest.raises(ConfigurationError, match="exclude each other"):
        task.using(unique_key="mine", unique=Unique())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"by": "user"}, ConfigurationError, r"give \['user'\]"),
        ({"by": [3]}, ConfigurationError, "must be text"),
        (
            {"until": "later"},
            ConfigurationError,
            "until='later'.* is not known; give 'finished', 'started', or how many",
        ),
        ({"until": 0}, ConfigurationError, "0 is not positive; give seconds ahead"),
        ({"until": timedelta(hours=-1)}, ConfigurationError, "-3600.0 is not positive"),
        ({"until": float("nan")}, ConfigurationError, "nan is not a duration; give seconds or a timedelta"),
        ({"until": True}, ConfigurationError, "True is not a duration"),
        ({"until": None}, ConfigurationError, "None is not a duration"),
        ({"on_conflict": "wait"}, ConfigurationError, "on_conflict='wait'.*'return', 'replace', 'reject', 'debounce'"),
        ({"on_conflict": None}, ConfigurationError, "on_conflict=None"),
        ({"on_conflict": ["reject"]}, ConfigurationError, "is not known"),
    ],
)
def test_a_rule_that_is_not_acceptable_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Unique(**arguments)


def test_a_rule_tells_all_that_it_was_given() -> None:
    rule = Unique(by=["user"], on_conflict="reject")

    assert (rule.by, rule.until, rule.on_conflict) == (("user",), "finished", "reject")
    assert repr(rule) == "Unique(by=('user',), until='finished', on_conflict='reject')"


def test_a_rule_that_does_not_fit_its_task_is_refused(app: Millrace) -> None:
    with pytest.raises(ConfigurationError, match=r"names 'users', but .*greet takes user, text, day"):
        app.task(unique=Unique(by=["users"]))(greet)
    app.task(name="greet")(greet)
    with pytest.raises(ConfigurationError, match=r"names 'users', but greet takes user, text, day"):
        app.enqueue(NewJob("greet", {"user": 1}, unique=Unique(by=["users"])))
    with pytest.raises(ConfigurationError, match="which this app does not know; give unique_key"):
        app.enqueue(NewJob("elsewhere", unique=Unique()))
    anything: Any = app.task
    with pytest.raises(ConfigurationError, match="unique='x' is no rule"):
        anything(name="x", unique="x")(greet)


def test_rules_that_say_the_same_are_equal() -> None:
    assert Unique(["a"]) == Unique(("a",))
    assert hash(Unique(["a"])) == hash(Unique(("a",)))
    assert Unique() != Unique(by=())
    assert Unique(until=60) == Unique(until=timedelta(minutes=1)) != Unique(until="started")
    assert Unique() != "unique"
    assert repr(Unique(["a"])) == "Unique(by=('a',), until='finished', on_conflict='return')"
