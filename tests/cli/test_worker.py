"""`millrace worker` as a process: its lines, its exit codes, several processes, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace import JobState
from tests.cli.conftest import Shop

Start = Callable[..., "Process"]

SLOW = """\
import os
import time
from pathlib import Path
from millrace import Millrace, current_job

app = Millrace("sqlite:///jobs.db?synchronous=normal")


@app.task
def hold(name: str) -> int:
    current_job().log.info("begun", name=name)
    Path(name).touch()
    while not Path("go").exists():
        time.sleep(0.005)
    return os.getpid()


@app.task
def version() -> int:
    return 1
"""


class Process(subprocess.Popen[str]):
    """A `millrace worker`, and the lines that it has written."""

    def __init__(self, folder: Path, *words: str) -> None:
        super().__init__(
            [sys.executable, "-m", "millrace", "worker", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.lines: list[str] = []

    def hear(self, *parts: str) -> str:
        """Read up to the first line that holds all parts."""
        assert self.stderr is not None
        for line in self.stderr:
            self.lines.append(line.rstrip("\n"))
            if all(part in line for part in parts):
                return self.lines[-1]
        pytest.fail(f"no line with {parts} in {self.lines}", pytrace=False)

    def end(self) -> int:
        """Read the rest, and wait for the end."""
        assert self.stderr is not None
        self.lines += self.stderr.read().splitlines()
        return self.wait(30)


@pytest.fixture
def start(shop: Shop) -> Iterator[Start]:
    (shop.folder / "slow.py").write_text(SLOW, encoding="utf-8")
    started: list[Process] = []

    def begin(*words: str, folder: Path = shop.folder) -> Process:
        started.append(Process(folder, *words))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        with process:
            pass


def hold(shop: Shop, name: str) -> str:
    id: str = shop.json("enqueue", "slow:app", "slow.hold", "--arg", f"name={name}")["id"]
    return id


def wait_for(shop: Shop, name: str) -> None:
    """Wait until a handler has touched its file."""
    deadline = time.monotonic() + 30
    while not (shop.folder / name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until_gone(pid: int) -> None:
    """Wait until a process that is nobody's child any more has ended, reaped or not."""
    deadline = time.monotonic() + 30
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2] == "Z"


def test_a_burst_runs_what_is_due_tells_it_and_ends_with_code_0(shop: Shop, start: Start) -> None:
    done = shop.json("enqueue", "shop:app", "shop.add", '{"a": 2, "b": 3}')["id"]
    failed = shop.json("enqueue", "shop:app", "shop.send", '{"to": "ada"}')["id"]

    worker = start("shop:app", "--burst")

    assert worker.end() == 0
    first, *middle, _, last = worker.lines
    assert first.endswith(
        f"INFO     worker {worker.pid} on sqlite:///jobs.db: all queues, 2 tasks (shop.add, shop.send), "
        "10 jobs at once, 1 process"
    )
    assert any(f"INFO     completed  shop.add  {done}" in line for line in middle)
    assert any(
        f"WARNING  failed     shop.send  {failed}" in line and "ConnectionError: no route to ada; again in " in line
        for line in middle
    )
    assert "stopped: " in worker.lines[-2]
    assert {"1 completed", "1 failed"} == set(worker.lines[-2].split("stopped: ")[1].split(" in ")[0].split(", "))
    assert last.split("INFO")[1].startswith(f"     worker {worker.pid} was up for ")
    assert last.endswith("; exit code 0")


def test_lines_in_json_are_objects(shop: Shop, start: Start) -> None:
    id = shop.json("enqueue", "shop:app", "shop.add", '{"a": 2}')["id"]

    worker = start("shop:app", "--burst", "--json")

    assert worker.end() == 0
    told = [json.loads(line) for line in worker.lines]
    (completed,) = [each for each in told if each.get("event") == "completed"]
    assert (completed["job_id"], completed["task"], completed["level"]) == (id, "shop.add", "info")
    assert completed["seconds"] >= 0


def test_the_options_reach_the_worker(shop: Shop, start: Start) -> None:
    worker = start(
        "shop:app", "--queue", "mail", "--queue", "slow", "--task", "shop.send", "--concurrency", "3", "--reserve",
        "mail=2", "--log-level", "debug",
    )  # fmt: skip
    told = worker.hear("on sqlite:///jobs.db")

    assert told.endswith(": 2 queues (mail, slow), 1 task (shop.send), 3 jobs at once, 2 of them for mail, 1 process")
    shop.json("enqueue", "shop:app", "shop.send", '{"to": "ada"}')
    worker.hear("failed", "shop.send")
    (entry,) = shop.json("workers", "shop:app")
    assert entry["info"]["queues"] == ["mail", "slow"]
    assert (entry["info"]["tasks"], entry["info"]["concurrency"]) == (["shop.send"], 3)
    worker.terminate()
    assert worker.end() == 0


def test_a_signal_lets_running_jobs_end_and_a_second_one_does_not(shop: Shop, start: Start) -> None:
    first = hold(shop, "first")
    worker = start("slow:app", "--grace", "1m")
    wait_for(shop, "first")
    worker.send_signal(signal.SIGINT)
    worker.hear("stopping: running jobs have 60 s to end")
    (shop.folder / "go").touch()

    assert worker.end() == 0
    with shop.open() as app:
        assert app.get(first).state is JobState.COMPLETED
    (shop.folder / "go").unlink()
    second = hold(shop, "second")
    worker = start("slow:app")
    wait_for(shop, "second")
    worker.terminate()
    worker.hear("stopping")
    worker.terminate()

    assert worker.end() == 1
    with shop.open() as app:
        job = app.get(second)
        assert (job.state, job.attempt) == (JobState.PENDING, 0)


def test_what_a_handler_logs_is_shown_with_its_job(shop: Shop, start: Start) -> None:
    id = hold(shop, "here")
    (shop.folder / "go").touch()

    worker = start("slow:app", "--burst")

    assert worker.end() == 0
    (line,) = [line for line in worker.lines if "begun" in line]
    assert f"INFO     log        slow.hold  {id}" in line
    assert line.endswith("  begun name='here'")


def test_a_traceback_begins_with_the_handler_wherever_its_file_lies(shop: Shop, start: Start) -> None:
    home = shop.folder / "millrace" / "worker"
    home.mkdir(parents=True)
    (home / "deep.py").write_text((shop.folder / "shop.py").read_text("utf-8"), "utf-8")
    id = shop.json("enqueue", "--url", "sqlite:///millrace/worker/jobs.db", "deep.send", '{"to": "ada"}')["id"]

    worker = start("deep:app", "--burst", folder=home)

    assert worker.end() == 0
    (attempt,) = shop.json("job", "--url", "sqlite:///millrace/worker/jobs.db", id)["attempts"]
    assert attempt["traceback"].splitlines()[:3] == [
        "Traceback (most recent call last):",
        f'  File "{home / "deep.py"}", line 13, in send',
        '    raise ConnectionError(f"no route to {to}")',
    ]


def test_an_app_that_sets_up_logging_keeps_it(shop: Shop, start: Start) -> None:
    (shop.folder / "own.py").write_text(
        "import logging\nlogging.basicConfig(format='mine: %(message)s', level='DEBUG')\nfrom shop import app\n",
        encoding="utf-8",
    )
    shop.json("enqueue", "shop:app", "shop.send", '{"to": "ada"}')

    worker = start("own:app", "--burst")

    assert worker.end() == 0
    assert " on sqlite:///jobs.db: " in worker.lines[0]
    assert "exit code 0" in worker.lines[-1]
    assert any(line.startswith("mine: shop.send ") and "failed" in line for line in worker.lines)
    assert not any("WARNING" in line for line in worker.lines)


# -- several processes


def test_several_processes_share_the_work_and_end_together_at_one_ctrl_c(shop: Shop, start: Start) -> None:
    ids = [hold(shop, name) for name in ("one", "two")]
    worker = start("slow:app", "--processes", "2", "--concurrency", "1")
    assert worker.hear("on sqlite").endswith("2 processes")
    wait_for(shop, "one")
    wait_for(shop, "two")

    os.killpg(worker.pid, signal.SIGINT)  # as a terminal does
    worker.hear("stopping: running jobs have")
    (shop.folder / "go").touch()

    assert worker.end() == 0
    with shop.open() as app:
        pids = {app.get(id).result for id in ids}
    assert len(pids) == 2
    assert worker.pid not in pids


def test_workers_end_when_their_supervisor_is_killed(start: Start) -> None:
    worker = start("shop:app", "--processes", "2")
    pids = [int(worker.hear("worker ", "1 process").split("worker ")[1].split()[0]) for _ in range(2)]

    worker.kill()

    assert worker.end() == -signal.SIGKILL  # and so their end of the pipe was closed, too
    assert [line for line in worker.lines if "exit code 0" in line] != []
    for pid in pids:
        wait_until_gone(pid)


def test_a_worker_process_that_dies_is_replaced(start: Start) -> None:
    worker = start("shop:app", "--processes", "2")
    first = int(worker.hear("worker ", "1 process").split("worker ")[1].split()[0])
    worker.hear("worker ", "1 process")

    os.kill(first, signal.SIGKILL)

    worker.hear("ended by signal 9; another starts in")
    worker.hear("worker ", "1 process")
    worker.terminate()
    assert worker.end() == 0


def test_the_worker_starts_anew_when_the_code_changes(shop: Shop, start: Start) -> None:
    worker = start("slow:app", "--reload")
    worker.hear("on sqlite")

    (shop.folder / "slow.py").write_text(SLOW.replace("return 1", "return 2"), encoding="utf-8")

    worker.hear("the code has changed; the worker starts anew")
    worker.hear("exit code 0")
    worker.hear("on sqlite")
    with shop.open() as app:
        id = shop.json("enqueue", "slow:app", "slow.version")["id"]
        assert app.result(id, timeout=30) == 2
    worker.terminate()
    assert worker.end() == 0


# -- what it refuses


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "a worker needs an APP, as module:attribute: its tasks are code, which no URL names"),
        (("--url", "sqlite:///jobs.db"), "a worker needs an APP"),
        (("nowhere:app",), "no module named 'nowhere'"),
        (("shop:app", "--task", "add"), "--task add: the app has no such task; did you mean 'shop.add'?"),
        (("shop:app", "--concurrency", "0"), "0 is not in the range"),
        (("shop:app", "--processes", "-1"), "-1 is not in the range"),
        (("shop:app", "--reserve", "high"), "'high' is not QUEUE=N; write high=2"),
        (("shop:app", "--reserve", "high=0"), "'high=0' is not QUEUE=N"),
        (("shop:app", "--reserve", "high=11"), "reserved takes 11 slots of concurrency=10"),
        (("shop:app", "--queue", "mail", "--reserve", "high=1"), "reserved names queue 'high'"),
        (("shop:app", "--queue", ""), "queue '' has 0 bytes"),
        (("shop:app", "--grace", "soon"), "'soon' is not a duration"),
        (("shop:app", "--log-level", "loud"), "'loud' is not one of"),
        (("shop:app", "--processes", "2", "--task", "add"), "--task add: the app has no such task"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_no_worker_starts(shop: Shop, words: tuple[str, ...], part: str) -> None:
    answer = shop.millrace("worker", *words)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert part in answer.err


def test_an_app_without_tasks_says_so(shop: Shop, start: Start) -> None:
    (shop.folder / "bare.py").write_text("from millrace import Millrace\napp = Millrace('memory://')\n", "utf-8")

    worker = start("bare:app", "--burst")

    assert worker.end() == 0
    assert "all queues, no task, so nothing will be claimed" in worker.lines[0]
