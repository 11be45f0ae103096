"""Tables that fit, text that cannot move the cursor, times as people read and type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.cli.jobs import jobs_table
from millrace.cli.output import Column, clip, flat, fold, shown_width, table
from millrace.cli.queues import queues_table
from millrace.cli.stats import queue_table
from millrace.cli.times import ago, parse_duration, parse_time, seconds_text, stamp, until
from millrace.cli.workers import workers_table
from millrace.job import Job, JobRow
from millrace.records import QueueInfo, WorkerInfo
from millrace.states import JobState

COLUMNS = (Column("ID"), Column("TASK", least=8), Column("QUEUE", rank=2, least=6), Column("N", rank=1, right=True))
ROWS = [("01a20f03", "shop.add", "default", "1"), ("01a20f04", "shop.a.very.long.name.of.a.task", "mail", "200")]
AT = datetime(2026, 1, 1, tzinfo=UTC)


def plain(lines: list[str]) -> list[str]:
    return [click.unstyle(line) for line in lines]


def test_a_pipe_gets_every_cell_whole() -> None:
    assert plain(table(COLUMNS, ROWS, None)) == [
        "ID        TASK                             QUEUE      N",
        "01a20f03  shop.add                         default    1",
        "01a20f04  shop.a.very.long.name.of.a.task  mail     200",
    ]


def test_a_narrow_terminal_gets_shorter_cells() -> None:
    assert plain(table(COLUMNS, ROWS, 40)) == [
        "ID        TASK              QUEUE      N",
        "01a20f03  shop.add          default    1",
        "01a20f04  shop.a.very.lon…  mail     200",
    ]


def test_a_name_that_is_cut_keeps_its_end() -> None:
    assert plain(table((Column("TASK", least=8, tail=True),), [("shop.tasks.send",)], 10)) == ["TASK", "…asks.send"]


def test_a_narrower_one_loses_the_columns_of_the_highest_rank() -> None:
    assert plain(table(COLUMNS, ROWS, 24)) == [
        "ID        TASK         N",
        "01a20f03  shop.add     1",
        "01a20f04  shop.a.v…  200",
    ]
    assert plain(table(COLUMNS, ROWS, 20))[0].split() == ["ID", "TASK"]


def test_a_column_that_is_empty_everywhere_is_left_out() -> None:
    assert plain(table(COLUMNS, [("1", "a", "", "")], None)) == ["ID  TASK", "1   a"]


@given(st.lists(st.tuples(*[st.text(max_size=40)] * 4), max_size=5), st.integers(30, 120))
def test_no_line_is_ever_wider_than_the_terminal(rows: list[tuple[str, ...]], room: int) -> None:
    columns = (Column("A", least=4), Column("B", least=4), Column("C", rank=1, least=4), Column("D", rank=2, least=4))

    lines = plain(table(columns, rows, room))

    assert len(lines) == len(rows) + 1
    assert max(map(shown_width, lines)) <= room
    assert all(line.isprintable() for line in lines)


@given(st.text())
def test_text_of_jobs_cannot_move_the_cursor(text: str) -> None:
    assert flat(text).isprintable()
    assert all(line.isprintable() for line in fold(text).split("\n"))


@given(st.text(), st.integers(1, 20))
def test_a_clipped_text_fits(text: str, cells: int) -> None:
    assert shown_width(clip(text, cells)) <= cells


def job(**fields: object) -> Job[object]:
    given: dict[str, object] = {"ref": 1, "id": bytes(16), "task": "shop.add", "queue": "default", "args": b"{}"}
    return Job(JobRow(**(given | fields)))  # type: ignore[arg-type]


def test_a_list_of_jobs_fits_eighty_columns_with_whole_ids() -> None:
    jobs = [
        job(state=JobState.DEAD, error="ConnectionError: no route to host", attempt=5, priority=3, tags=("vip", "eu")),
        job(state=JobState.SCHEDULED, due=3_600_000_000, task="shop.a.very.long.name.of.a.task"),
    ]
    now = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)

    lines = plain(jobs_table(jobs, now, 80))

    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:]] == ["00000000-0000-0000-0000-000000000000"] * 2
    assert lines[0].split()[:3] == ["ID", "STATE", "TASK"]
    assert plain(jobs_table(jobs, now, None))[1].split() == [
        "00000000-0000-0000-0000-000000000000", "dead", "shop.add", "default", "3", "5/5", "30s", "vip,eu",
        "ConnectionError:", "no", "route", "to", "host",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0), ("90", 90.0), ("1.5", 1.5), ("30s", 30.0), ("5m", 300.0), ("2h", 7200.0), ("1h30m", 5400.0),
        ("7d", 604_800.0), ("1w", 604_800.0),
    ],
)  # fmt: skip
def test_durations_are_read_as_people_type_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "h", "5 m", "5x", "1e3", "nan", "inf", "1.2.3", "٣"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01T01:00+01:00", "20260101T000000Z"])
def test_times_are_read_in_iso_8601(text: str) -> None:
    assert parse_time(text) == AT


@pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00Z", "2026-01-01", "2026-01-01T00:00"])
def test_a_time_without_timezone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time|has no timezone"):
        parse_time(text)


def test_ages_are_one_short_word() -> None:
    spans = [0, 59, 119, 120, 7199, 7200, 172_799, 172_800, 10**7]
    assert [ago(AT, AT + timedelta(seconds=span)) for span in spans] == [
        "0s", "59s", "119s", "2m", "119m", "2h", "47h", "2d", "115d",
    ]  # fmt: skip
    assert (ago(None, AT), ago(AT, AT - timedelta(seconds=5))) == ("", "0s")
    assert (until(AT + timedelta(minutes=5), AT), until(AT, AT), until(None, AT)) == ("in 5m", "now", "")


def test_a_stamp_is_local_time_with_its_offset() -> None:
    assert datetime.strptime(stamp(AT), "%Y-%m-%d %H:%M:%S.%f %z") == AT
    assert stamp(None) == "-"


def test_durations_are_written_in_their_most_readable_unit() -> None:
    assert [seconds_text(each) for each in (0, 0.9994, 1, 59.9, 60, 7200, 200_000)] == [
        "0 ms", "999 ms", "1 s", "59.9 s", "60 s", "2 h", "2 d",
    ]  # fmt: skip


@pytest.mark.parametrize("room", [20, 40, 60, 80])
@pytest.mark.parametrize("name", ["shop.a.very.long.name.of.a.task", "\u5e97\u8217.\u9001\u4fe1", "a\u0301" * 40])
def test_every_list_fits_however_narrow_the_terminal_and_wide_the_names(name: str, room: int) -> None:
    tags = ("\u512a\u5148", "x" * 50)
    jobs = [job(state=state, task=name, queue=name, tags=tags, error=f"E: {name}") for state in JobState]
    now = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    queue = QueueInfo(name, counts=dict.fromkeys(JobState, 1_000_000), concurrency=100)
    worker = WorkerInfo("00000000000000ff", f"{name}:42", now, now, {"queues": [name], "tasks": [name, name]})

    for lines in (
        jobs_table(jobs, now, room),
        queues_table([queue], room),
        queue_table([queue], room),
        workers_table([worker], now, room),
    ):
        assert max(map(shown_width, plain(lines))) <= room


def test_sixty_columns_are_enough_for_whole_ids() -> None:
    jobs = [job(state=JobState.CANCELLING, task="shop.a.very.long.name.of.a.task", tags=("vip",), error="E: x")]

    heading, line = plain(jobs_table(jobs, datetime(1970, 1, 1, tzinfo=UTC), 60))

    assert heading.split() == ["ID", "STATE", "TASK"]
    assert line == "00000000-0000-0000-0000-000000000000  cancelling  …of.a.task"


def test_a_long_text_is_clipped_at_once() -> None:
    assert clip("\u65e5" * 1_000_000, 5) == "\u65e5\u65e5…"
