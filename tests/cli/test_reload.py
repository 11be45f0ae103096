"""`--reload`: what counts as code, and a worker process that starts anew when it changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from millrace.cli import reload
from millrace.cli.reload import changes, folders_of, snapshot

# Says that it runs, with the text of the watched file, and waits for a signal as a worker does.
CHILD = """\
import signal, sys
text = open("code.py").read().strip()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
print("begun", text, flush=True)
if text == "fails":
    sys.exit(3)
signal.sigwait([signal.SIGTERM, signal.SIGINT])
print("ended", text, flush=True)
"""
PARENT = """\
import sys
from pathlib import Path
from millrace.cli import reload
if sys.argv[1] == "poll":
    reload.find_spec = lambda _: None
    reload._LOOK_SECONDS = 0.05
sys.exit(reload.run_reloading([sys.executable, "child.py"], [Path("watched")]))
"""


def test_source_files_count_and_what_is_hidden_or_installed_does_not(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", "deep/c.py", ".hidden/d.py", "__pycache__/e.py", "venv/f.py", "site-packages/g.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    assert sorted(str(Path(path).relative_to(tmp_path)) for path in snapshot([tmp_path])) == ["a.py", "deep/c.py"]


def test_the_working_directory_and_the_package_elsewhere_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "elsewhere.py").touch()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "there")])
    monkeypatch.chdir(tmp_path / "here")

    assert folders_of("tasks:app") == [tmp_path / "here"]
    assert folders_of("elsewhere:app") == [tmp_path / "here", tmp_path / "there"]


@pytest.mark.parametrize("installed", [True, False])
def test_a_change_is_told_once(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    monkeypatch.setattr(reload, "_LOOK_SECONDS", 0.02)
    if not installed:
        monkeypatch.setattr(reload, "find_spec", Mock(return_value=None))
    code, stop = tmp_path / "code.py", threading.Event()
    code.write_text("one", encoding="utf-8")
    told = changes([tmp_path], stop)
    code.write_text("two, before anybody looked", encoding="utf-8")
    assert next(told)
    while next(told):  # writing may be told in two parts
        pass

    code.write_text("another", encoding="utf-8")

    assert any(next(told) for _ in range(500))
    stop.set()


@pytest.fixture(params=["watchfiles", "poll"])
def parent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "trigger.py").touch()
    (tmp_path / "child.py").write_text(CHILD, encoding="utf-8")
    (tmp_path / "parent.py").write_text(PARENT, encoding="utf-8")
    (tmp_path / "code.py").write_text("one", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "parent.py", request.param],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        yield process
        process.kill()


def change(folder: Path, text: str) -> None:
    (folder / "code.py").write_text(text, encoding="utf-8")
    (folder / "watched" / "trigger.py").write_text(text, encoding="utf-8")


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_worker_starts_anew_when_its_code_changes_and_ends_with_its_parent(
    parent: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert hear(parent) == "begun one"
    change(tmp_path, "two")
    assert hear(parent) == "millrace: the code has changed; the worker starts anew"
    assert hear(parent) == "ended one"
    assert hear(parent) == "begun two"

    parent.send_signal(signal.SIGTERM)

    assert hear(parent) == "ended two"
    assert parent.wait(30) == 0


def test_code_that_cannot_run_waits_for_the_next_change(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    assert hear(parent) == "begun one"
    change(tmp_path, "fails")
    assert [hear(parent) for _ in range(3)][1:] == ["ended one", "begun fails"]
    assert hear(parent) == "millrace: the worker has ended with code 3; it starts anew when the code changes"
    change(tmp_path, "mended")
    assert hear(parent) == "millrace: the code has changed; the worker starts anew"
    assert hear(parent) == "begun mended"

    parent.send_signal(signal.SIGINT)

    assert hear(parent) == "ended mended"
    assert parent.wait(30) == 0
