"""When schedules tick, above all where the clocks change: nothing twice, nothing dropped, whatever it is asked from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millrace.clock import SECOND, from_datetime, to_datetime
from millrace.errors import ScheduleError
from millrace.timetable import ALIASES, Cron, Interval, Timetable

HOUR = 3600 * SECOND
BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"

#: Days on which the clocks change: by an hour, and by half an hour.
CHANGES = {
    BERLIN: ("2026-03-29", "2026-10-25"),
    NEW_YORK: ("2026-03-08", "2026-11-01"),
    LORD_HOWE: ("2026-10-04", "2026-04-05"),
    "UTC": ("2026-03-29", "2026-10-25"),
}
LINES = ("30 2 * * *", "0 * * * *", "*/15 * * * *", "*/30 * * * *", "*/20 2 * * *", "15 1 * * *", "0 3 * * *")


def walk(table: Timetable, begin: datetime, end: datetime) -> Iterator[int]:
    """Go from tick to tick."""
    at = table.after(from_datetime(begin) - 1)
    while at is not None and at < from_datetime(end):
        yield at
        at = table.after(at)


def told(line: str, zone: str, day: str) -> list[str]:
    """Say at which local times a line ticks on a day."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    end = (begin + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone))
    return [to_datetime(at).astimezone(ZoneInfo(zone)).strftime("%H:%M%z") for at in walk(Cron(line, zone), begin, end)]


@pytest.mark.parametrize(
    ("line", "zone", "day", "ticks"),
    [
        # The clocks leap over it: it comes at the end of the leap, once.
        ("30 2 * * *", BERLIN, "2026-03-29", ["03:00+0200"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08", ["03:00-0400"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-04", ["02:30+1100"]),
        # It comes twice: once.
        ("30 2 * * *", BERLIN, "2026-10-25", ["02:30+0200"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01", ["01:30-0400"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-05", ["01:45+1100"]),
        # What is said by a star follows the time that passes.
        ("*/30 1-3 * * *", BERLIN, "2026-03-29", ["01:00+0100", "01:30+0100", "03:00+0200", "03:30+0200"]),
        (
            "*/30 1-3 * * *", BERLIN, "2026-10-25",
            [
                "01:00+0200", "01:30+0200", "02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100", "03:00+0100",
                "03:30+0100",
            ],
        ),
        (
            "*/20 2 * * *", BERLIN, "2026-10-25",
            ["02:00+0200", "02:20+0200", "02:40+0200", "02:00+0100", "02:20+0100", "02:40+0100"],
        ),
        ("30 2 * * *", "UTC", "2026-03-29", ["02:30+0000"]),
    ],
)  # fmt: skip
def test_the_clocks_change(line: str, zone: str, day: str, ticks: list[str]) -> None:
    assert told(line, zone, day) == ticks


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("zone", CHANGES)
def test_it_makes_no_difference_when_the_next_tick_is_asked_for(line: str, zone: str) -> None:
    """From any minute of the days around a change the answer is the one that a walk from long before comes to."""
    table = Cron(line, zone)
    for day in CHANGES[zone]:
        noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC)
        ticks = list(walk(table, noon - timedelta(days=3), noon + timedelta(days=3)))
        assert ticks == sorted(set(ticks))
        at, end = from_datetime(noon - timedelta(days=1)), from_datetime(noon + timedelta(days=1))
        while at < end:
            assert table.after(at) == next(tick for tick in ticks if tick > at), to_datetime(at)
            assert table.latest(at) == next(tick for tick in reversed(ticks) if tick <= at), to_datetime(at)
            at += 7 * 60 * SECOND


@settings(deadline=None, max_examples=150)
@given(
    at=st.integers(from_datetime(datetime(2020, 1, 1, tzinfo=UTC)), from_datetime(datetime(2035, 1, 1, tzinfo=UTC))),
    line=st.sampled_from((*LINES, "0 0 1 * 1", "0 9 * * mon-fri", "0 0 L * *", "0 12 * * fri#2", "*/7 * * * * *")),
    zone=st.sampled_from(tuple(CHANGES)),
)
@example(at=from_datetime(datetime(2026, 10, 25, 1, 10, tzinfo=UTC)), line="30 2 * * *", zone=BERLIN)
def test_next_and_last_agree(at: int, line: str, zone: str) -> None:
    table = Cron(line, zone)
    following, last = table.after(at), table.latest(at)
    assert following is not None
    assert last is not None
    assert last <= at < following
    assert table.after(last) == following
    assert table.latest(following) == following
    assert table.latest(following - 1) == last


def test_seconds_come_first_where_there_are_six_fields() -> None:
    table = Cron("*/15 * * * * *")
    assert [table.after(at * SECOND) for at in (0, 14, 15)] == [15 * SECOND, 15 * SECOND, 30 * SECOND]
    assert table.after(15 * SECOND - 1) == 15 * SECOND


def test_days_of_the_month_and_of_the_week_are_alternatives() -> None:
    table = Cron("0 0 1 * 1")
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    days = [to_datetime(at).day for at in walk(table, begin, datetime(2026, 7, 2, tzinfo=UTC))]
    assert days == [1, 8, 15, 22, 29, 1]


@pytest.mark.parametrize(("alias", "line"), ALIASES.items())
def test_short_names_are_what_cron_says_they_are(alias: str, line: str) -> None:
    at = from_datetime(datetime(2026, 5, 5, 5, 5, tzinfo=UTC))
    assert Cron(alias).after(at) == Cron(line).after(at) == Cron(alias.upper()).after(at)


@pytest.mark.parametrize(
    ("line", "zone", "said"),
    [
        ("* * * *", "UTC", "wrong number of fields"),
        ("61 * * * *", "UTC", "bad minute"),
        ("0 0 31 2 *", "UTC", "day-of-month|never comes"),
        ("0 0 30 2 *", "UTC", "day-of-month|never comes"),
        ("@reboot", "UTC", "or @daily"),
        ("", "UTC", "wrong number of fields"),
        ("0 0 * * *", "Europe/Atlantis", "timezone='Europe/Atlantis' is not known here"),
        ("0 0 * * *", "../../etc/passwd", "is not known here"),
        ("0 0 * * *", "", "is not known here"),
    ],
)
def test_what_never_ticks_is_refused(line: str, zone: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        Cron(line, zone)


def test_a_leap_day_comes_every_fourth_year() -> None:
    table = Cron("0 0 29 2 *")
    assert to_datetime(table.after(from_datetime(datetime(2026, 1, 1, tzinfo=UTC))) or 0).year == 2028


@given(every=st.integers(SECOND, 100 * 24 * HOUR), since=st.integers(0, 10**16), at=st.integers(0, 10**16))
def test_intervals_count_from_their_beginning(every: int, since: int, at: int) -> None:
    table = Interval(every, since)
    following, last = table.after(at), table.latest(at)
    assert following is not None
    assert following > max(at, since)
    assert (following - since) % every == 0
    assert following - max(at, since) <= every
    assert last == (None if at < since + every else table.latest(following) and following - every)


def test_an_interval_is_told_in_its_largest_unit() -> None:
    told = {seconds: Interval(seconds * SECOND).words for seconds in (1, 90, 120, 3600, 7200, 86_400, 172_800)}
    units = ("second", "90 seconds", "2 minutes", "hour", "2 hours", "day", "2 days")
    assert list(told.values()) == [f"Every {unit}" for unit in units]
    assert Interval(1_500_000).words == "Every 1.5 seconds"


def test_an_interval_below_a_second_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"every 0\.5 s is too often; give one second or more"):
        Interval(SECOND // 2)
