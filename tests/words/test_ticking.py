"""Which ticks are due: after an absence, between a start and an end, with a clock that steps back."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.clock import SECOND
from millrace.ticking import MOST_AT_ONCE, PUNCTUAL, CatchUp, Rule, lateness, tick_id
from millrace.timetable import Cron, Interval

MINUTE = 60 * SECOND
EACH_MINUTE = Interval(MINUTE)


def seconds(*ticks: int | None) -> list[float | None]:
    return [None if tick is None else tick / SECOND for tick in ticks]


@pytest.mark.parametrize(("catch_up", "ticks"), [("latest", [300]), ("skip", [300]), ("all", [60, 120, 180, 240, 300])])
def test_an_absence_of_five_minutes(catch_up: CatchUp, ticks: list[float]) -> None:
    due = Rule(EACH_MINUTE, catch_up).due(0, 310 * SECOND)
    assert seconds(*due.ticks) == ticks
    assert seconds(due.watermark, due.next) == [300, 360]


def test_skip_passes_over_a_tick_that_is_found_late() -> None:
    daily = Rule(Interval(1440 * MINUTE), "skip")
    punctual, late = (daily.due(0, 1440 * MINUTE + PUNCTUAL + more) for more in (0, 1))
    assert punctual.ticks == (1440 * MINUTE,)
    assert late.ticks == ()
    assert late.watermark == punctual.watermark == 1440 * MINUTE


def test_all_is_bounded_and_the_newest_count() -> None:
    due = Rule(Interval(SECOND), "all").due(0, 86_400 * SECOND)
    assert len(due.ticks) == MOST_AT_ONCE
    assert seconds(due.ticks[0], due.ticks[-1]) == [86_400 - MOST_AT_ONCE + 1, 86_400]
    assert due.watermark == 86_400 * SECOND


def test_nothing_is_due_before_its_time() -> None:
    due = Rule(EACH_MINUTE).due(0, 59 * SECOND)
    assert (due.ticks, due.watermark, due.next) == ((), 0, MINUTE)


@pytest.mark.parametrize("catch_up", ["latest", "skip", "all"])
def test_a_clock_that_steps_back_fires_nothing_twice(catch_up: CatchUp) -> None:
    rule = Rule(EACH_MINUTE, catch_up)
    due = rule.due(0, 180 * SECOND)
    for now in (179, 120, 60, 0, 180, 239):
        again = rule.due(due.watermark, now * SECOND)
        assert (again.ticks, again.watermark, again.next) == ((), due.watermark, 240 * SECOND)
    assert seconds(*rule.due(due.watermark, 240 * SECOND).ticks) == [240]


def test_between_a_start_and_an_end() -> None:
    rule = Rule(EACH_MINUTE, "all", start=120 * SECOND, end=200 * SECOND)
    assert seconds(rule.next(0)) == [120]
    due = rule.due(0, 1000 * SECOND)
    assert seconds(*due.ticks) == [120, 180]
    assert due.next is None
    assert rule.due(due.watermark, 2000 * SECOND).ticks == ()
    assert Rule(EACH_MINUTE, start=121 * SECOND).next(0) == 180 * SECOND


def test_an_end_that_is_a_tick_is_the_last_one() -> None:
    rule = Rule(EACH_MINUTE, end=120 * SECOND)
    assert seconds(*rule.due(0, 1000 * SECOND).ticks) == [120]


@given(
    every=st.integers(1, 500),
    steps=st.lists(st.integers(-300, 3000), max_size=20),
    catch_up=st.sampled_from(["latest", "skip", "all"]),
)
def test_however_time_goes_each_tick_fires_at_most_once_and_in_order(
    every: int, steps: list[int], catch_up: CatchUp
) -> None:
    rule = Rule(Interval(every * SECOND), catch_up)
    now, watermark = 0, 0
    fired: list[int] = []
    for step in steps:
        now = max(now + step * SECOND, 0)
        due = rule.due(watermark, now)
        assert due.next is not None
        assert due.next > max(due.watermark, min(now, due.watermark))
        assert all(watermark < tick <= now for tick in due.ticks)
        assert due.watermark >= watermark
        fired += due.ticks
        watermark = due.watermark
    assert fired == sorted(set(fired))
    if catch_up == "all" and len(fired) < MOST_AT_ONCE and steps:
        assert fired == [tick * every * SECOND for tick in range(1, watermark // (every * SECOND) + 1)]


def test_a_cron_line_is_caught_up_with_too() -> None:
    rule = Rule(Cron("0 * * * *"), "all")
    assert seconds(*rule.due(0, 3 * 60 * MINUTE).ticks) == [3600, 7200, 10_800]


@given(st.text(max_size=30), st.integers(0, 2**52))
def test_the_id_of_a_tick_is_a_uuid_of_its_time(name: str, tick: int) -> None:
    made = UUID(bytes=tick_id(name, tick))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == tick // 1000
    assert made.bytes == tick_id(name, tick)
    assert tick_id(name + "x", tick) != made.bytes != tick_id(name, tick + 1)


@given(st.text(max_size=30), st.integers(0, 2**52), st.integers(0, 2**40))
def test_lateness_is_within_the_jitter_and_always_the_same(name: str, tick: int, jitter: int) -> None:
    late = lateness(name, tick, jitter)
    assert 0 <= late <= jitter
    assert late == lateness(name, tick, jitter)


def test_lateness_is_spread_evenly() -> None:
    late = [lateness("report", tick, 1000) for tick in range(2000)]
    assert 450 < sum(late) / len(late) < 550
