"""`assert_enqueued`: what it finds, and what it says where there is nothing to find."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from millrace import Millrace, PayloadError
from millrace.testing import assert_enqueued


@dataclass
class Order:
    number: int
    at: datetime


def test_it_finds_the_newest_job_of_the_task(millrace: Millrace) -> None:
    add = millrace.task(name="add")(lambda a: a)
    add.enqueue(1)
    newest = add.enqueue(2)

    assert assert_enqueued(add) == newest


def test_it_compares_arguments_with_defaults_applied(millrace: Millrace) -> None:
    @millrace.task(name="add")
    def add(a: int, b: int = 1) -> int:
        return a + b

    short, long = add.enqueue(1), add.enqueue(2, b=1)

    assert assert_enqueued(add, args={"a": 1}) == short
    assert assert_enqueued(add, args={"a": 1, "b": 1}) == short
    assert assert_enqueued(add, args={"a": 2}) == long


def test_arguments_may_be_given_as_their_own_types(millrace: Millrace) -> None:
    @millrace.task(name="ship")
    def ship(order: Order) -> None: ...

    order = Order(7, datetime(2026, 1, 1, tzinfo=UTC))
    job = ship.enqueue(order)

    assert assert_enqueued(ship, args={"order": order}) == job
    assert assert_enqueued(ship, args={"order": {"number": 7, "at": "2026-01-01T00:00:00Z"}}) == job


def test_a_job_that_has_ended_was_enqueued_all_the_same(millrace: Millrace) -> None:
    add = millrace.task(name="add")(lambda a: a)
    add.enqueue(1)
    millrace.drain()

    assert assert_enqueued(add, args={"a": 1}).state == "completed"


def test_the_queue_counts_where_it_is_named(millrace: Millrace) -> None:
    add = millrace.task(name="add")(lambda a: a)
    job = add.using(queue="slow").enqueue(1)

    assert assert_enqueued(add, queue="slow") == job
    with pytest.raises(AssertionError, match="in queue 'default' was enqueued; there are, newest first"):
        assert_enqueued(add, queue="default")


def test_a_failure_shows_what_there_is_instead(millrace: Millrace) -> None:
    add = millrace.task(name="add")(lambda a: a)
    with pytest.raises(AssertionError) as nothing:
        assert_enqueued(add)
    for number in range(7):
        add.enqueue(number)
    with pytest.raises(AssertionError) as others:
        assert_enqueued(add, args={"a": 9})

    assert str(nothing.value) == "no job of 'add' was enqueued"
    assert str(others.value).splitlines() == [
        "no job of 'add' with args {'a': 9} was enqueued; there are, newest first:",
        *(f"  {{'a': {number}}} in queue 'default', pending" for number in (6, 5, 4, 3, 2)),
        "  and 2 more",
    ]


def test_arguments_that_cannot_be_the_tasks_are_refused(millrace: Millrace) -> None:
    add = millrace.task(name="add")(lambda a: a)

    with pytest.raises(PayloadError, match="add"):
        assert_enqueued(add, args={"b": 1})
