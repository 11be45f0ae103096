"""Several processes under one parent: restarted when they die, ended together, with the right exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millrace.worker.supervisor import Supervisor, supervise
from tests.worker.waiting import PATIENCE, eventually

WAITER = """
import signal, sys, threading
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if len(sys.argv) > 1:
    Path(sys.argv[1], str(threading.get_native_id())).touch()
threading.Event().wait()
"""


@contextmanager
def running(supervisor: Supervisor) -> Generator[list[int]]:
    """Run a supervisor in a thread; gives the list that its exit code will stand in."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        yield codes
    finally:
        supervisor.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_process_that_dies_is_started_again() -> None:
    supervisor = Supervisor([sys.executable, "-c", WAITER], 2)
    with running(supervisor):
        assert supervisor.started.wait(2)
        eventually(lambda: len(supervisor.pids) == 2)
        first, second = supervisor.pids
        os.kill(first, signal.SIGKILL)
        assert supervisor.restarts.wait()
        assert supervisor.started.wait(3)
        eventually(lambda: len(supervisor.pids) == 2)
        assert second in supervisor.pids
        assert first not in supervisor.pids


def test_processes_that_die_young_are_started_later_each_time() -> None:
    supervisor = Supervisor([sys.executable, "-c", "import os; os._exit(9)"], 1)
    with running(supervisor):
        assert supervisor.restarts.wait(3)
        assert supervisor.started.count <= 3


def test_it_ends_with_0_when_all_have_ended_well(tmp_path: Path) -> None:
    supervisor = Supervisor([sys.executable, "-c", WAITER, str(tmp_path)], 3)
    with running(supervisor) as codes:
        eventually(lambda: len(list(tmp_path.iterdir())) == 3)

    assert codes == [0]
    assert supervisor.pids == []


def test_a_burst_ends_when_each_has_done_its_part() -> None:
    assert supervise([sys.executable, "-c", "pass"], 3, burst=True) == 0


def test_a_command_that_is_wrong_is_not_tried_again() -> None:
    supervisor = Supervisor([sys.executable, "-c", "raise SystemExit(2)"], 2)

    assert supervisor.run() == 2
    assert supervisor.restarts.count == 0


def test_one_that_is_refused_when_it_is_started_again_is_tried_again_and_costs_the_others_nothing(
    tmp_path: Path,
) -> None:
    """Exit code 2 of a first start is a mistake; later it is a right that was taken away, and may come back."""
    once = "import sys, pathlib\npathlib.Path(sys.argv[1], 'refuses').exists() and sys.exit(2)\n" + WAITER
    supervisor = Supervisor([sys.executable, "-c", once, str(tmp_path)], 2)
    with running(supervisor) as codes:
        eventually(lambda: len(list(tmp_path.iterdir())) == 2)
        first, second = supervisor.pids
        (tmp_path / "refuses").touch()
        os.kill(first, signal.SIGKILL)
        assert supervisor.restarts.wait(2)
        assert supervisor.pids == [second]
    assert codes == [0]


def test_one_that_does_not_end_is_killed_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.worker.supervisor._KILL_AFTER", 0.2)
    deaf = WAITER.replace("sys.exit(0)", "None")
    supervisor = Supervisor([sys.executable, "-c", deaf, str(tmp_path)], 1, grace=0.1)
    with running(supervisor) as codes:
        eventually(lambda: len(list(tmp_path.iterdir())) == 1)

    assert codes == [1]


PARENT = """
import sys
from millrace.worker import supervise
sys.exit(supervise([sys.executable, "-c", sys.argv[1]], 2))
"""
ENDING = """
import os, signal, sys, threading
seen = []
def end(*_):
    seen.append(1)
    os.write(1, f"signal {len(seen)}\\n".encode())  # in one piece, as both write to one pipe
    if len(seen) == int(NEEDED):
        sys.exit(len(seen) - 1)
signal.signal(signal.SIGTERM, end)
os.write(1, b"up\\n")
threading.Event().wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on(number: signal.Signals) -> None:
    with family(needed=1) as parent:
        parent.send_signal(number)
        assert parent.wait(PATIENCE) == 0


def test_a_second_signal_is_passed_on_too_and_the_exit_code_is_1() -> None:
    with family(needed=2) as parent:
        parent.send_signal(signal.SIGTERM)
        hear_twice(parent, "signal 1")
        parent.send_signal(signal.SIGTERM)
        hear_twice(parent, "signal 2")
        assert parent.wait(PATIENCE) == 1


@contextmanager
def family(needed: int) -> Generator[subprocess.Popen[str]]:
    """Run a parent with two children that end at the signal of that number, with exit code 0 or 1."""
    command = [sys.executable, "-c", PARENT, ENDING.replace("NEEDED", str(needed))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        hear_twice(parent, "up")
        yield parent


def hear_twice(parent: subprocess.Popen[str], text: str) -> None:
    assert parent.stdout is not None
    assert [parent.stdout.readline() for _ in range(2)] == [f"{text}\n"] * 2
