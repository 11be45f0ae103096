"""Ids rise, times keep their microsecond, and what callers give is checked with a sentence that helps."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace import checks
from millrace.clock import SECOND, from_datetime, to_datetime
from millrace.errors import ConfigurationError, MillraceError
from millrace.ids import as_id, new_id
from millrace.job import Job, JobRow
from millrace.signals import RetryAfter, Snooze
from millrace.states import JobState


def test_ids_are_version_7_strictly_rising_and_distinct_over_threads() -> None:
    made: list[list[bytes]] = []

    def make() -> None:
        made.append([new_id() for _ in range(2_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    assert len({id for ids in made for id in ids}) == 8_000
    assert {7} == {UUID(bytes=id).version for id in made[0]}


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child's lines are not traced
        os.write(writer, new_id())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 16)
    os.close(reader)
    os.close(writer)
    ours = new_id()
    assert theirs[6:] != ours[6:]


def test_an_id_is_read_from_a_uuid_its_text_its_bytes_or_a_job() -> None:
    id = uuid4()
    job: Job[object] = Job(JobRow(ref=1, id=id.bytes, task="t", queue="q", args=b"{}"))
    assert {id.bytes} == {as_id(id), as_id(str(id)), as_id(id.bytes), as_id(job)}


@pytest.mark.parametrize("value", ["nonsense", 5, None, b"short"])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a job id"):
        as_id(value)


@given(st.datetimes(timezones=st.just(dt.UTC), min_value=dt.datetime(1900, 1, 1), max_value=dt.datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_datetime_keeps_its_microsecond(at: Any) -> None:
    assert at == to_datetime(from_datetime(at))


@pytest.mark.parametrize(
    ("delay", "run_at", "part"),
    [
        (-1, None, "negative"),
        (float("nan"), None, "not a duration"),
        ("5", None, "not a duration"),
        (True, None, "not a duration"),
        (1e12, None, "hundred years"),
        (5, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "exclude each other"),
        (None, dt.datetime(2026, 1, 1), "no timezone"),  # noqa: DTZ001
        (None, "tomorrow", "not a datetime"),
    ],
)
def test_a_due_time_that_makes_no_sense_is_refused(delay: Any, run_at: Any, part: Any) -> None:
    with pytest.raises(ConfigurationError, match=part):
        checks.due_time(delay, run_at)


def test_a_due_time_counts_from_now_or_stands_for_itself() -> None:
    assert checks.due_time(None, None) == (0, None)
    assert checks.due_time(dt.timedelta(minutes=1.5), None) == (90 * SECOND, None)
    assert checks.due_time(None, dt.datetime(1970, 1, 1, 1, 0, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))) == (
        0,
        SECOND,
    )


@pytest.mark.parametrize("value", [40_000, -32769, 1.5, "1", True, None])
def test_a_priority_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="-32768 to 32767"):
        checks.priority(value)


@pytest.mark.parametrize("value", ["", "x" * 201, "é" * 101, "a\0b", "\ud800", 5, None])
def test_a_name_that_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="queue"):
        checks.name("queue", value)


def test_names_of_200_bytes_in_any_script_are_taken() -> None:
    assert checks.name("queue", "é" * 100)
    assert checks.name("queue", "x" * 200)


def test_tags_are_distinct_and_at_most_twenty() -> None:
    assert checks.tag_names(["a", "b", "a"]) == ("a", "b")
    with pytest.raises(ConfigurationError, match="20 tags"):
        checks.tag_names([str(n) for n in range(21)])
    with pytest.raises(ConfigurationError, match="list of names"):
        checks.tag_names("mail")


@pytest.mark.parametrize("make", [lambda: Snooze(-1), lambda: RetryAfter(float("inf"))])
def test_a_signal_checks_its_seconds(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


def test_a_job_is_frozen_equal_by_value_and_can_be_pickled() -> None:
    row = JobRow(ref=1, id=bytes(16), task="t", queue="q", args=b'{"a":1}', result=b"[1]", due=None)
    job: Job[object] = Job(row)
    with pytest.raises(AttributeError, match="frozen"):
        job.state = JobState.DEAD  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    again: Job[object] = pickle.loads(pickle.dumps(job))  # noqa: S301
    assert job == again
    assert hash(job) == hash(again)
    assert (again.args, again.result, again.scheduled_at) == ({"a": 1}, [1], None)
    assert job != Job(row, duplicate=True)


def test_a_job_without_an_app_says_how_to_get_one() -> None:
    job: Job[object] = Job(JobRow(ref=1, id=bytes(16), task="t", queue="q", args=b"{}"))
    with pytest.raises(MillraceError, match=r"app\.get"):
        job.refresh()
