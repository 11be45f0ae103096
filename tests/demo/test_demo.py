"""The demo itself, as its user runs it: real processes, a real kill, and its own proof in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from millrace import JobState, Millrace

FILES = 240


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "millrace", "demo", "--files", str(FILES), "--folder", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demo_loses_nothing_says_so_and_keeps_everything(tmp_path: Path) -> None:
    told = demo(tmp_path)

    assert (told.returncode, told.stderr) == (0, ""), told
    lines = told.stdout.splitlines()
    assert any("with SIGKILL while it held" in line for line in lines)
    assert any(line.startswith("all ") and "are back" in line for line in lines)
    assert any(line.startswith("Nothing was lost: of ") for line in lines)
    assert max(map(len, lines[:-6])) <= 100
    report = (tmp_path / "report.txt").read_text(encoding="utf-8")
    with Millrace(f"sqlite:///{tmp_path / 'jobs.db'}") as app:
        counts = app.counts()
        assert sum(counts.values()) == FILES + 1 == counts[JobState.COMPLETED] + counts[JobState.DEAD]
        assert report.startswith(f"{counts[JobState.COMPLETED] - 1} files of the standard library\n")


def test_the_demo_in_json_is_one_document(tmp_path: Path) -> None:
    told = demo(tmp_path, "--json", "--workers", "3")

    result = json.loads(told.stdout)
    assert (told.returncode, result["complaints"], result["jobs"]) == (0, [], FILES + 1)
    assert result["jobs_of_killed_worker"] > 0
    assert result["seconds_until_they_were_back"] is not None
    assert result["report"]["files"] == result["counts"]["completed"] - 1
    assert len(result["dead"]) == result["counts"]["dead"]


def test_a_folder_with_a_demo_in_it_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").touch()

    told = demo(tmp_path)

    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith(f"millrace: {tmp_path / 'jobs.db'} is there already; name another folder")


def test_a_worker_that_ends_by_itself_ends_the_demo_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the workers load this in place of the demo's tasks, and find no app
    (tmp_path / "sitecustomize.py").write_text("import sys\nif 'worker' in sys.argv: sys.exit(5)\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    told = demo(tmp_path)

    assert told.returncode == 1
    assert "has ended by itself; see the logs in" in told.stderr
