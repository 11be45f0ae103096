"""Child processes: killed for real, and what they die of costs their own job a try and nobody else anything."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, Millrace, NewJob
from millrace.registry import TaskSpec
from millrace.worker.loader import find_task, homes_of
from tests.worker import childtasks
from tests.worker.conftest import Hire
from tests.worker.waiting import PATIENCE, eventually


@pytest.mark.parametrize(
    ("task", "how"),
    [
        (childtasks.leave.job(3), "with exit code 3"),
        (childtasks.leave.job(0), "with exit code 0"),
        (childtasks.segfault.job(), "by signal 11 (SIGSEGV)"),
    ],
)
def test_a_child_that_dies_fails_its_attempt_and_is_replaced(
    children: Millrace, hire: Hire, task: NewJob, how: str
) -> None:
    hire(children, concurrency=1)
    before = childtasks.pid.enqueue()
    dying = children.enqueue(task)
    after = childtasks.pid.enqueue()

    assert dying.wait(PATIENCE).state == "dead"
    assert (dying.refresh().error or "").startswith("ChildDied: the child process ")
    assert (dying.refresh().error or "").endswith(f"that ran the job ended {how}")
    assert before.wait(PATIENCE).result != after.wait(PATIENCE).result


def test_a_child_killed_from_outside_fails_its_attempt(children: Millrace, tmp_path: Path, hire: Hire) -> None:
    hire(children, concurrency=1)
    job = childtasks.sleep.enqueue(tmp_path)
    eventually((tmp_path / "began").exists)
    os.kill(int((tmp_path / "began").read_text(encoding="utf-8")), signal.SIGKILL)

    assert job.wait(PATIENCE).error is not None
    assert "by signal 9 (SIGKILL)" in (job.refresh().error or "")


def test_a_child_whose_own_child_holds_the_pipe_is_noticed_all_the_same(
    children: Millrace, tmp_path: Path, hire: Hire
) -> None:
    hire(children, concurrency=1)
    job = childtasks.leave_an_heir.enqueue(tmp_path).wait(PATIENCE)
    os.kill(int((tmp_path / "heir").read_text(encoding="utf-8")), signal.SIGKILL)

    assert "with exit code 7" in (job.error or "")


def test_children_end_with_their_worker(children: Millrace, hire: Hire) -> None:
    worker = hire(children, concurrency=2)
    pids = [childtasks.pid.enqueue().wait(PATIENCE).result for _ in range(2)]
    worker.stop()

    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


ORPHANS = """
import sys, threading
from pathlib import Path
from typing import Any
from millrace import Worker
from tests.worker.childtasks import app, sleep
job = sleep.enqueue(Path(sys.argv[1]))
Worker(app).start()
threading.Event().wait(60)
"""


def test_a_child_ends_at_once_where_its_worker_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)]) as parent:
        eventually(lambda: (tmp_path / "began").exists() and bool((tmp_path / "began").read_text(encoding="utf-8")))
        parent.kill()
        parent.wait(PATIENCE)
    pid = int((tmp_path / "began").read_text(encoding="utf-8"))

    eventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- in a transaction of its own


@pytest.mark.parametrize("commit", [True, False])
def test_a_child_completes_in_its_own_transaction(tmp_path: Path, hire: Hire, *, commit: bool) -> None:
    path = tmp_path / "jobs.db"
    childtasks.app.close()
    script = tmp_path / "owntasks.py"
    script.write_text(
        "from millrace import Millrace\n"
        "from tests.worker import childtasks\n"
        f"app = Millrace('sqlite:///{path}')\n"
        "task = app.task(name='own', run_in='process', max_attempts=1)(childtasks.insert_and_complete.function)\n",
        encoding="utf-8",
    )
    sys.path.insert(0, str(tmp_path))
    try:
        own: Any = import_module("owntasks")
        app: Millrace = own.app
        app.migrate()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE effects(n)")
            connection.commit()
        worker = hire(app)
        job = app.enqueue(own.task.job(path, commit=commit)).wait(PATIENCE)
        worker.stop()
        with closing(sqlite3.connect(path)) as connection:
            ((effects,),) = connection.execute("SELECT count(*) FROM effects")
        app.close()
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("owntasks", None)

    if commit:
        assert (job.state, job.result, effects, worker.summary.lost) == ("completed", {"own": True}, 1, 0)
    else:
        assert (job.state, effects) == ("dead", 0)
        assert "its transaction was not committed" in (job.error or "")


# -- finding the task again


def test_a_task_of_a_script_is_found_by_its_file(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from millrace import Millrace\n"
        "app = Millrace('memory://')\n"
        "@app.task(run_in='process')\n"
        "def where():\n"
        "    return [os.getpid(), __name__]\n"
        "if __name__ == '__main__':\n"
        "    job = where.enqueue()\n"
        "    app.run_worker(burst=True)\n"
        "    pid, name = app.result(job)\n"
        "    print(where.name, name, pid != os.getpid())\n",
        encoding="utf-8",
    )
    for command in ([str(script)], ["-m", "script"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout == "script.where script True\n"


def test_a_script_that_starts_a_worker_unguarded_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "careless.py"
    script.write_text(
        "from millrace import Millrace\n"
        "app = Millrace('memory://')\n"
        "@app.task(run_in='process', max_attempts=1)\n"
        "def work(): ...\n"
        "job = work.enqueue()\n"
        "app.run_worker(burst=True)\n"
        "print(app.get(job).error)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert "cannot find task 'careless.work' in careless" in done.stdout
    assert "start it under if __name__ == '__main__'" in done.stdout


def test_a_task_whose_function_lives_elsewhere_is_found_through_its_app(children: Millrace) -> None:
    spec = children.registry.get(childtasks.pid.name)
    assert spec is not None
    elsewhere = TaskSpec(spec.name, os.path.join, run_in="process")

    names, file = homes_of(elsewhere, children)

    assert file is None
    assert names[0] == "posixpath"
    assert childtasks.__name__ in names
    assert find_task(spec.name, (names, None)) == (spec, childtasks.app)


def test_a_task_that_nobody_registers_is_told_with_its_modules() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot find task 'nowhere' in json, no\.such\.module"):
        find_task("nowhere", (("json", "no.such.module"), None))


def test_a_task_of_a_session_without_a_file_cannot_run_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def handler() -> None: ...

    handler.__module__ = "__main__"
    with pytest.raises(ConfigurationError, match="stands in no file"):
        homes_of(TaskSpec("x", handler, run_in="process"), object())
