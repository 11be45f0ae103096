"""A worker in trouble harms nobody: it takes no job from itself, stops when told twice, and does not spin."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, Millrace, NewJob, StoreUnavailable, Worker
from millrace.states import JobState
from millrace.stores import MemoryStore
from millrace.testing import ManualClock
from tests.worker.stages import Stage
from tests.worker.waiting import PATIENCE, await_event, eventually

# The tests' own apps store jobs for tasks that only the worker's process knows.
pytestmark = pytest.mark.filterwarnings("ignore:this app has no task")


class TimedStage(Stage):
    """A stage on a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.inner = MemoryStore(clock=self.clock)
        self.out = threading.Event()  #: set: the store is out of reach
        self.tried = threading.Event()
        self.broken = self._unavailable

    def _unavailable(self, verb: str) -> StoreUnavailable | None:
        if not self.out.is_set():
            return None
        if verb == "step":
            self.tried.set()
        return StoreUnavailable("out of reach, as the test has it")


def test_outcomes_kept_while_the_store_was_away_are_written_before_any_rescue() -> None:
    stage = TimedStage()
    app = Millrace(stage)  # pyright: ignore[reportArgumentType]
    runs: list[int] = []
    begun, go = threading.Event(), threading.Event()

    @app.task(name="job", lease=5)
    def handler() -> None:
        runs.append(1)
        begun.set()
        assert go.wait(PATIENCE)

    with app:
        job = handler.enqueue()
        with Worker(app, concurrency=2):
            await_event(begun)
            stage.out.set()
            go.set()
            await_event(stage.tried)
            stage.clock.advance(60)  # its lease is long past
            stage.out.clear()
            eventually(lambda: job.refresh().state is JobState.COMPLETED)
        done = job.refresh()
    assert (1, 0, 1) == (len(runs), done.crashes, done.attempt)


def test_a_worker_does_not_spin_while_the_store_is_away() -> None:
    stage = TimedStage()
    app = Millrace(stage)  # pyright: ignore[reportArgumentType]
    begun, go = threading.Event(), threading.Event()

    @app.task(name="job")
    def handler() -> None:
        begun.set()
        assert go.wait(PATIENCE)

    with app:
        handler.enqueue()
        with Worker(app) as worker:
            await_event(begun)
            stage.out.set()
            go.set()
            await_event(stage.tried)
            claimer: Any = worker._shift._claimer  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess, reportPrivateUsage]
            turns = 0
            turn = claimer._turn

            def counted() -> float:
                nonlocal turns
                turns += 1
                return float(turn())

            claimer._turn = counted
            for _ in range(3):
                stage.tried.clear()
                await_event(stage.tried)
            stage.out.clear()
            eventually(lambda: app.counts()[JobState.COMPLETED] == 1)
    assert turns < 100


def test_a_handler_that_stops_its_own_worker_is_told_so() -> None:
    app = Millrace("memory://")
    worker = Worker(app)

    @app.task(name="stopper", max_attempts=1)
    def stopper() -> None:
        worker.stop(grace=1)

    with app, worker:
        done = app.wait(stopper.enqueue(), timeout=PATIENCE)
    assert done.error is not None
    assert done.error.startswith("ConfigurationError: stop() was called by a handler")


def test_a_worker_and_a_drain_load_the_modules_that_the_app_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for way in ("worker", "drain"):
        (tmp_path / f"hub_{way}.py").write_text(
            f"from millrace import Millrace\napp = Millrace('memory://', imports=['more_{way}'])\n"
        )
        (tmp_path / f"more_{way}.py").write_text(
            f"from hub_{way} import app\n@app.task(name='hello')\ndef hello() -> str:\n    return 'hi'\n"
        )
    from importlib import import_module

    with closing(import_module("hub_worker").app) as app:
        job = app.enqueue(NewJob("hello"))
        assert app.run_worker(burst=True) == 0
        assert "hi" == job.refresh().result
    with closing(import_module("hub_drain").app) as app:
        job = app.enqueue(NewJob("hello"))
        app.drain()
        assert "hi" == job.refresh().result


def test_a_module_that_cannot_be_imported_is_told_at_the_start() -> None:
    with Millrace("memory://", imports=["no_such_module"]) as app, pytest.raises(ConfigurationError, match="no_such_"):
        Worker(app).start()


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{folder}/jobs.db"])
def test_a_worker_on_a_closed_app_does_not_start(url: str, tmp_path: Path) -> None:
    app = Millrace(url.format(folder=tmp_path))
    app.depth()
    app.close()
    with pytest.raises(StoreUnavailable, match=r"app\.open\(\)"):
        app.run_worker(burst=True)
    with pytest.raises(StoreUnavailable, match=r"app\.open\(\)"):
        app.drain()


ALONE = """
import os, time
from millrace import Millrace
app = Millrace("sqlite:///jobs.db")
@app.task(name="long")
def long() -> None:
    open("begun", "w").close()
    time.sleep(60)
@app.task(name="leave")
def leave() -> None:
    os.mkdir("elsewhere"); os.chdir("elsewhere")
@app.task(name="where", run_in="process")
def where() -> str:
    return os.getcwd()
@app.task(name="forks", run_in="process", max_attempts=1)
def forks() -> str:
    if os.fork() == 0:
        raise ValueError("from the other half")
    return "from this half"
@app.task(name="after", run_in="process", max_attempts=1)
def after(n: int) -> int:
    return n
"""


def worker_of(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "millrace", "worker", "alone:app", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_second_signal_ends_a_worker_even_while_another_process_holds_the_file(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE)
    with Millrace(f"sqlite:///{tmp_path}/jobs.db") as app:
        app.enqueue(NewJob("long"))
    process = worker_of(tmp_path, "--grace", "60")
    try:
        eventually((tmp_path / "begun").exists)
        with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            assert process.wait(PATIENCE) == 1
            assert time.monotonic() - began < 15  # far below the minute of grace and the store's own half
    finally:
        process.kill()
        process.wait()


def test_a_child_process_starts_where_its_worker_did_whatever_a_handler_has_done_since(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE)
    with Millrace(f"sqlite:///{tmp_path}/jobs.db") as app:
        app.enqueue(NewJob("leave", priority=1))
        job = app.enqueue(NewJob("where"))
        process = worker_of(tmp_path, "--burst", "--concurrency", "1")
        assert process.wait(PATIENCE) == 0
        assert str(tmp_path) == os.path.realpath(job.refresh().result)


def test_a_process_handler_that_forks_gives_its_own_answer_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE)
    with Millrace(f"sqlite:///{tmp_path}/jobs.db") as app:
        first = app.enqueue(NewJob("forks", priority=1))
        rest = [app.enqueue(NewJob("after", {"n": n})) for n in range(4)]
        process = worker_of(tmp_path, "--burst", "--concurrency", "1")
        assert process.wait(PATIENCE) == 0
        assert "from this half" == first.refresh().result
        assert [0, 1, 2, 3] == [job.refresh().result for job in rest]
