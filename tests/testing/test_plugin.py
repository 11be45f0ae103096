"""The fixtures of the pytest plugin, as a user's own tests have them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from millrace import Millrace
from millrace.testing import ManualClock


def test_the_fixture_is_an_app_on_a_memory_store(millrace: Millrace) -> None:
    millrace.task(name="ping")(lambda: "pong").enqueue()

    assert millrace.store.url == "memory://"
    assert millrace.depth() == 1


def test_time_stands_still_where_the_test_asks_for_the_clock(millrace: Millrace, millrace_clock: ManualClock) -> None:
    remind = millrace.task(name="remind")(lambda: "remember")
    job = remind.using(delay=3600).enqueue()

    assert millrace.store.now() == millrace_clock.now()
    millrace.drain()
    assert job.refresh().state == "scheduled"
    millrace_clock.advance(3600)
    millrace.drain()
    assert job.refresh().state == "completed"


def test_the_plugin_works_in_a_project_that_only_has_millrace_installed(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        textwrap.dedent("""\
            from millrace.testing import assert_enqueued

            apps = []

            def test_theirs(millrace):
                add = millrace.task(name="add")(lambda a, b: a + b)
                add.enqueue(2, 3)
                millrace.drain()
                assert millrace.result(assert_enqueued(add), timeout=0) == 5
                apps.append(millrace)

            def test_each_test_has_an_app_of_its_own_and_the_one_before_is_closed(millrace):
                assert millrace.depth() == 0
                assert [app.closed for app in (*apps, millrace)] == [True, False]
            """),
        encoding="utf-8",
    )

    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stdout
    assert "2 passed" in told.stdout
