"""How far long work is: on a terminal only, never with --json."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO

import pytest

from millrace import Millrace
from millrace.cli.progress import Bar, bar_text, counted
from millrace.cli.run import run
from tests.cli.conftest import Shop
from tests.cli.terminal import Terminal

HALF = f"[{'#' * 21}{'-' * 9}]"
SLOW = """\
import time
from pathlib import Path
from millrace import Millrace
from millrace.stores import SQLiteStore


class Slow(SQLiteStore):
    def migrate(self):
        while not Path("go").exists():
            time.sleep(0.005)
        return super().migrate()


app = Millrace(Slow("jobs.db"))
"""


class Screen(StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True


Look = Callable[[], Screen]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    """Put a terminal in the place of stderr, for the rest of the test."""

    def begin() -> Screen:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return begin


def with_jobs(shop: Shop, number: int = 700) -> None:
    """Store as many cancelled jobs, more than are changed in one step."""
    with shop.open() as app:
        ping = app.task(name="ping")(lambda: None)
        app.enqueue_many([ping.job() for _ in range(number)])
        app.cancel_all()


@pytest.mark.parametrize(
    ("words", "shown", "told"),
    [
        (("retry", "--all", "--state", "cancelled"), f"retrying {HALF} 500 of 700", "retried 700 jobs"),
        (("retry", "--all", "--state", "cancelled", "--task", "ping"), "retrying 500", "retried 700 jobs"),
        (("delete", "--all", "--yes"), f"deleting {HALF} 500 of 700", "deleted 700 jobs"),
        (("purge", "--older-than", "0"), "deleting 500", "deleted 700 jobs"),
    ],
)  # fmt: skip
def test_many_jobs_are_changed_under_a_bar(
    shop: Shop, look: Look, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], shown: str, told: str
) -> None:
    with_jobs(shop)
    capsys.readouterr()
    screen = look()

    assert run([*words, "--url", shop.url]) == 0

    assert capsys.readouterr().out == f"{told}\n"
    assert screen.getvalue().startswith(f"\r\033[K{shown}")
    assert screen.getvalue().endswith("\r\033[K")


def test_cancels_of_all_that_match_are_under_a_bar_too(shop: Shop, look: Look) -> None:
    with_jobs(shop)
    screen = look()
    assert run(["retry", "--url", shop.url, "--all", "--state", "cancelled"]) == 0
    assert run(["cancel", "--url", shop.url, "--all"]) == 0
    assert f"cancelling {HALF} 500 of 700" in screen.getvalue()


def test_json_and_a_pipe_are_shown_no_bar(shop: Shop, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    with_jobs(shop)
    screen = look()

    assert run(["retry", "--url", shop.url, "--all", "--state", "cancelled", "--json"]) == 0
    assert run(["purge", "--url", shop.url, "--older-than", "0", "--json"]) == 0
    assert run(["migrate", "--url", shop.url, "--json"]) == 0
    assert screen.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", StringIO())
    assert shop.millrace("delete", "--url", shop.url, "--all", "--yes").err == ""


def test_a_migration_that_takes_long_says_that_it_goes_on(shop: Shop) -> None:
    (shop.folder / "slow.py").write_text(SLOW)
    terminal = Terminal(shop.folder, "migrate", "slow:app")
    try:
        terminal.see("migrating sqlite:///jobs.db, 0 s")
        (shop.folder / "go").touch()
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown
    finally:
        terminal.close()


def test_the_store_is_the_apps_own_again_afterwards() -> None:
    app = Millrace("memory://")
    store = app.store
    with counted(app, "purge", "deleting", None, shown=True):
        assert app.store is not store
    assert app.store is store


def test_a_bar_is_never_longer_than_full_nor_drawn_more_often_than_one_can_see(look: Look) -> None:
    assert bar_text("copying", 12, 10) == f"copying [{'#' * 30}] 12 of 12"
    assert bar_text("copying", 0, 0) == f"copying [{'-' * 30}] 0 of 0"
    screen = look()
    with Bar("copying", 1_000_000, shown=True) as bar:
        for _ in range(1000):
            bar.add(1)
    assert screen.getvalue().count("copying") < 50
