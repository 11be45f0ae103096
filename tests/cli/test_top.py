"""`millrace top`: what it reads, that it fits the terminal, and how it comes and goes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from millrace import Millrace, Worker
from millrace.cli.output import shown_width
from millrace.cli.overview import Failure, Overview, QueueView, Running, WorkerView, read_overview
from millrace.cli.overviewlines import head_lines, sections
from millrace.cli.screens import fitted
from millrace.clock import SECOND
from millrace.messages import empty_counts
from millrace.records import WorkerRow
from millrace.states import JobState
from tests.cli.conftest import Shop
from tests.cli.terminal import Terminal, plain_text
from tests.worker.waiting import eventually

ID = "01a20f03-ba98-71c8-bf2d-fe9bd6462754"
AT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [
    "shop.add",
    "shop.a.very.long.name.of.a.task.that.nobody.can.read",
    "店舗.注文を送信する.とても長い名前です",
    "a\x1b[2J",
]


def with_work(shop: Shop) -> None:
    """Set the scene: one job waits, one runs, one is dead, a queue is paused."""
    with shop.open() as app:
        fail = app.task(name="shop.fail", queue="mail", max_attempts=1)(lambda: 1 // 0)
        hold = app.task(name="shop.hold")(lambda: None)
        fail.enqueue()
        app.drain()
        hold.enqueue()
        (held,) = app.claim()
        assert held.row.worker is not None
        app.store.register(WorkerRow(held.row.worker, "host:42", 0, 0, b'{"concurrency":4,"ended":{"dead":1}}'))
        fail.enqueue()
        app.pause("mail")


def wide(number: int) -> Overview:
    """An overview with so many of everything, under names of every kind."""
    names = [NAMES[each % len(NAMES)] for each in range(number)]
    runs = [Running(ID, name, 5.0) for name in NAMES]
    return Overview(
        at=AT,
        store="sqlite:///jobs.db",
        counts=empty_counts() | {JobState.COMPLETED: 123_456_789},
        waiting=3,
        oldest_seconds=4000.0,
        rate=1234.5,
        queues=[QueueView(each, False, 3, 4000.0, 1, 2, 3) for each in names],  # noqa: FBT003
        workers=[WorkerView("ff", f"{each}:42", True, 10, AT, 2.5, 9, runs) for each in names],  # noqa: FBT003
        failures=[Failure(ID, each, each, JobState.DEAD, AT, f"E: {each}") for each in names],
    )


def test_one_frame_says_how_everything_does(shop: Shop) -> None:
    with_work(shop)

    text = shop.good("top", "--url", shop.url, "--once")

    assert re.search(r"pending 1 +running 1 .* dead 1", text)
    assert re.search(r"\n1 waits, the oldest for [^;]+; [\d.]+ jobs/s; 1 worker alive, 1 of 4 slots busy\n", text)
    assert re.search(r"\nmail +paused +1 +\S+ \S+ +0 +0 +1\n", text)
    assert re.search(r"\nhost:42 +alive +1/4 +[\d.]+ +\ds +shop.hold \S+ \S+\n", text)
    assert re.search(r"\n +\ds +dead +shop.fail +mail +\S{36} +ZeroDivisionError: ", text)
    assert "\x1b" not in text


def test_one_frame_as_json_has_the_same(shop: Shop) -> None:
    with_work(shop)

    view = shop.json("top", "--url", shop.url, "--once")

    assert (view["counts"]["dead"], view["waiting"], view["store"]) == (1, 1, shop.url)
    assert [(each["name"], each["paused"], each["waiting"], each["dead"]) for each in view["queues"]] == [
        ("mail", True, 1, 1), ("default", False, 0, 0),
    ]  # fmt: skip
    (worker,) = view["workers"]
    assert (worker["name"], worker["slots"], [each["task"] for each in worker["running"]]) == (
        "host:42",
        4,
        ["shop.hold"],
    )
    (failure,) = view["failures"]
    assert (failure["task"], failure["state"]) == ("shop.fail", "dead")


def test_a_pipe_gets_one_frame_and_an_empty_store_says_so(shop: Shop) -> None:
    lines = shop.good("top", "shop:app").splitlines()

    assert lines[2] == "nothing waits; 0.0 jobs/s; no worker is alive"
    assert [line for line in lines if line.startswith("no ")] == [
        "no queue has jobs or settings", "no worker reports itself", "no job has failed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--json",), "--json goes with --once"),
        (("--interval", "0"), "--interval 0 is too short; give 0.1 or more"),
        (("--interval", "often"), "'often' is not a duration"),
        (("--once", "more"), "no module named 'more'"),
    ],
)
def test_what_makes_no_sense_is_refused(shop: Shop, words: tuple[str, ...], part: str) -> None:
    answer = shop.millrace("top", *words)

    assert (answer.code, answer.out) == (2, "")
    assert part in answer.err


def test_the_rate_is_what_workers_have_ended_between_their_last_two_signs_of_life() -> None:
    app = Millrace("memory://")
    store = app.store
    now = store.now()

    def beat(seconds: int, ended: bytes) -> None:
        store.register(WorkerRow(1, "host:1", now - 100 * SECOND, now + seconds * SECOND, ended))

    beat(-20, b'{"ended":{"completed":300,"failed":20}}')
    first = read_overview(app)
    assert first.workers[0].alive
    assert first.rate == pytest.approx(4.0)

    again = read_overview(app, first)
    assert again.rate == pytest.approx(4.0)

    beat(-10, b'{"ended":{"completed":500,"failed":30}}')
    assert read_overview(app, again).rate == pytest.approx(21.0)

    beat(-5, b"{}")
    assert [(each.rate, each.ended) for each in read_overview(app, again).workers] == [(None, 0)]


@pytest.mark.parametrize("room", [60, 80, 120, 200])
def test_every_line_fits_the_width(room: int) -> None:
    view = wide(8)

    lines = [*head_lines(view, room), *(line for part in sections(view, room) for line in part.lines())]

    plain = [click.unstyle(line) for line in lines]
    assert max(map(shown_width, plain)) <= room
    assert all(line.isprintable() for line in plain)


@pytest.mark.parametrize(("number", "height"), [(8, 12), (8, 9), (30, 20), (1, 40)])
def test_the_parts_fit_the_height_and_what_is_left_out_is_counted(number: int, height: int) -> None:
    parts = sections(wide(number), 80)

    shown = fitted(parts, height, 2)

    assert sum(map(len, shown)) + 2 * len(parts) <= height
    for part, lines in zip(parts, shown, strict=True):
        left_out = int(lines[-1].split()[0]) if lines[-1].endswith(" more") else 0
        rows = len(lines) - 1 - bool(left_out)
        assert len(lines) == 1 or rows + left_out == len(part.rows)


@pytest.fixture(params=["rich", "plain"])
def terminal(shop: Shop, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """A terminal in which `top` runs, drawn by rich or without it."""
    (shop.folder / "without").mkdir()
    (shop.folder / "without" / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
    (shop.folder / "away.py").write_text(AWAY)
    path = str(shop.folder / "without") if request.param == "plain" else None
    with_work(shop)
    opened = Terminal(
        shop.folder, "top", "away:app", "--interval", "0.1", columns=70, lines=24, environment={"PYTHONPATH": path}
    )
    yield opened
    opened.close()


AWAY = """\
from pathlib import Path
from millrace import Millrace, Worker
from millrace.errors import StoreUnavailable
from millrace.stores import SQLiteStore


class Shaky(SQLiteStore):
    def waiting(self, **options):
        if Path("away").exists():
            raise StoreUnavailable("the disk is gone")
        return super().waiting(**options)


app = Millrace(Shaky("jobs.db"))
"""


def test_it_is_drawn_anew_in_the_terminal_until_ctrl_c_which_gives_the_terminal_back(
    shop: Shop, terminal: Terminal
) -> None:
    terminal.see("1 waits, the oldest", "host:42", "ZeroDivisionError", "q ends it")
    assert terminal.is_raw
    shop.good("pause", "shop:app", "archive")
    terminal.see("archive")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert terminal.shown.count("\x1b[?1049h") == terminal.shown.count("\x1b[?1049l") == 1
    assert terminal.shown.rstrip().endswith(("\x1b[?1049l", "\x1b[?25h"))
    assert "Traceback" not in terminal.shown
    assert not terminal.is_raw


def test_q_leaves_as_well(terminal: Terminal) -> None:
    terminal.see("q ends it")
    terminal.type("q")
    assert terminal.end() == 0
    assert not terminal.is_raw


def test_sigterm_gives_the_terminal_back_too(terminal: Terminal) -> None:
    terminal.see("q ends it")
    terminal.send(signal.SIGTERM)
    assert terminal.end() == 0
    assert "\x1b[?1049l" in terminal.shown
    assert not terminal.is_raw


def test_an_outage_is_shown_and_waited_for(shop: Shop, terminal: Terminal) -> None:
    terminal.see("q ends it")
    away = Path(shop.folder / "away")
    away.touch()
    terminal.see("the disk is gone", "host:42")
    away.unlink()
    terminal.see("q ends it")
    terminal.type("q")
    assert terminal.end() == 0


def test_a_store_that_is_away_from_the_beginning_is_an_error_as_everywhere(shop: Shop) -> None:
    (shop.folder / "away.py").write_text(AWAY)
    (shop.folder / "away").touch()

    assert shop.millrace("top", "away:app", "--once") == (1, "", "millrace: the disk is gone\n")


def test_no_frame_is_wider_or_higher_than_the_terminal(terminal: Terminal) -> None:
    terminal.see("q ends it")
    frame = terminal.see("newest failures").replace("\r\n", "\n")

    assert max(shown_width(line.strip("\r")) for line in plain_text(frame).split("\n")) <= 70


def test_a_worker_tells_the_register_how_many_attempts_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.worker.maintenance._BEAT", 0.0)
    with Millrace("memory://") as app, Worker(app):
        app.task(name="ping")(lambda: None).enqueue().wait(10)
        eventually(lambda: app.workers()[0].info["ended"] == {"completed": 1})
        assert read_overview(app).workers[0].ended == 1
