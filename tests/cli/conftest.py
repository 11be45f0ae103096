"""A working directory with an app in it, and the command line run in this process as a user would run it there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from millrace import Millrace
from millrace.cli.run import run

SHOP = """\
from millrace import Backoff, Millrace

app = Millrace("sqlite:///jobs.db?synchronous=normal")


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task(queue="mail", max_attempts=2, retry=Backoff.fixed(60))
def send(to: str) -> None:
    raise ConnectionError(f"no route to {to}")
"""


class Answer(NamedTuple):
    """What a run gave: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shop:
    """The directory, its app, and the command line in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'jobs.db'}"
        self._capsys = capsys

    def millrace(self, *words: str) -> Answer:
        """Run a command."""
        self._capsys.readouterr()
        code = run(words)
        said = self._capsys.readouterr()
        return Answer(code, said.out, said.err)

    def good(self, *words: str) -> str:
        """Run a command that must go well, and give what it printed."""
        answer = self.millrace(*words)
        assert answer.code == 0, answer
        return answer.out

    def json(self, *words: str) -> Any:
        """Run a command with --json that must go well, and give what it printed."""
        return json.loads(self.good(*words, "--json"))

    def open(self) -> Millrace:
        """Open the store of the directory, to look and to set the scene."""
        return Millrace(f"{self.url}?synchronous=normal")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("MILLRACE_APP", "MILLRACE_URL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    yield Shop(tmp_path, capsys)
    for name in set(sys.modules) - before:
        if not name.startswith("millrace"):
            del sys.modules[name]
