"""`millrace schedules`, `health` where one is overdue, and `copy` with schedules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace import Millrace
from millrace.clock import SECOND
from millrace.scheduling import ScheduleRow
from millrace.stores import SQLiteStore
from tests.cli.conftest import Shop


@pytest.fixture
def url(shop: Shop) -> str:
    return shop.url


@pytest.fixture
def app(url: str) -> Iterator[Millrace]:
    with Millrace(url) as app:
        app.schedules.put("report", cron="0 9 * * mon-fri", job=app.task(name="send")(lambda: None).job())
        app.schedules.put("tidy", every=300, job=app.task(name="tidy_up")(lambda: None).job())
        yield app


@pytest.mark.usefixtures("app")
def test_they_are_listed(shop: Shop, url: str) -> None:
    answer = shop.millrace("schedules", "--url", url)
    assert answer.code == 0
    head, report, tidy = answer.out.splitlines()
    assert head.split() == ["SCHEDULE", "STATUS", "NEXT", "LAST", "WHEN", "TASK", "QUEUE"]
    assert "At 09:00 on Monday through Friday, UTC" in report
    assert tidy.split()[:2] == ["tidy", "ticks"]
    found = json.loads(shop.millrace("schedules", "--url", url, "--json").out)
    assert [(each["name"], each["every"], each["paused"]) for each in found] == [
        ("report", None, False), ("tidy", 300.0, False),
    ]  # fmt: skip


def test_one_is_paused_resumed_run_and_deleted(shop: Shop, app: Millrace, url: str) -> None:
    assert shop.millrace("schedules", "--url", url, "--pause", "tidy").out == "schedule tidy is paused\n"
    assert app.schedules.get("tidy").paused
    assert shop.millrace("schedules", "--url", url, "--resume", "tidy").out.startswith("schedule tidy ticks next at 2")
    assert shop.millrace("schedules", "--url", url, "--run-now", "tidy").out.startswith("schedule tidy has made job ")
    assert app.depth() == 1
    assert json.loads(shop.millrace("schedules", "--url", url, "--delete", "tidy", "--json").out) == {
        "name": "tidy", "deleted": True,
    }  # fmt: skip
    assert [each.name for each in app.schedules.list()] == ["report"]


@pytest.mark.usefixtures("app")
def test_an_unknown_one_is_a_sentence(shop: Shop, url: str) -> None:
    answer = shop.millrace("schedules", "--url", url, "--pause", "nothing")
    assert answer.code != 0
    assert "no schedule 'nothing' in sqlite:///" in answer.err
    assert answer.err.rstrip().endswith("known are: report, tidy")
    answer = shop.millrace("schedules", "--url", url, "--pause", "tidy", "--delete", "tidy")
    assert (answer.code, "are two changes" in answer.err) == (2, True)


def test_without_any_it_says_so(shop: Shop, url: str) -> None:
    Millrace(url).migrate()
    assert shop.millrace("schedules", "--url", url).out.startswith("no schedules in sqlite:///")


def test_health_tells_of_one_that_is_overdue(shop: Shop, url: str) -> None:
    with Millrace(url) as app:
        store = app.store
        assert isinstance(store, SQLiteStore)
        assert store.put_schedule(ScheduleRow("late", b"{}", next=store.now() - 60 * SECOND))
        assert store.put_schedule(ScheduleRow("soon", b"{}", next=store.now() + 60 * SECOND))
    answer = shop.millrace("health", "--url", url)
    assert answer.code == 1
    assert "schedule late is overdue by 60" in answer.out
    assert "soon" not in answer.out


def test_a_copy_takes_them_along_as_they_stand(shop: Shop, app: Millrace, url: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/copied.db"
    before = app.schedules.list()
    answer = shop.millrace("copy", url, target)
    assert answer.code == 0, answer.err
    assert "copied 2 schedules: report, tidy" in answer.out
    with Millrace(target) as copied:
        assert copied.schedules.list() == before
        copied.schedules.pause("tidy")
    again = shop.millrace("copy", url, target)
    assert "schedule" not in again.out
    with Millrace(target) as copied:
        assert copied.schedules.get("tidy").paused
