"""The units and the image in the documentation are whole: systemd accepts them, and what they start runs and stops."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from configparser import RawConfigParser
from pathlib import Path

import click
import pytest

from millrace.cli.group import millrace
from tests.docs.snippets import ROOT
from tests.metrics.asking import ask
from tests.worker.waiting import eventually

BIN = Path(sys.executable).parent
FILES = {
    name.rpartition("/")[2]: text
    for name, text in re.findall(r"```\w+\n# (\S+)\n(.*?)```", (ROOT / "docs/service.md").read_text(), re.DOTALL)
}
UNITS = sorted(name for name in FILES if name.endswith((".service", ".timer")))


def unit(name: str) -> RawConfigParser:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(FILES[name])
    return parser


def started_by(name: str) -> list[str]:
    """Return the words that a unit starts our command line with."""
    program, *words = shlex.split(unit(name)["Service"]["ExecStart"])
    assert program == "/srv/shop/.venv/bin/millrace"
    return words


def instruction(word: str) -> str:
    """Return what follows an instruction of the image that is there once."""
    (found,) = re.findall(rf"^{word} (.*)$", FILES["Dockerfile"], re.MULTILINE)
    return str(found)


def options(words: Sequence[str]) -> dict[str, object]:
    """Have the real command line read words, and refuse what it would refuse."""
    command = millrace.get_command(click.Context(millrace), words[0])
    assert command is not None
    return command.make_context(words[0], list(words[1:])).params


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(FILES["tasks.py"])
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number: int = server.getsockname()[1]
        return number


def environment(**more: str) -> dict[str, str]:
    ours = {"MILLRACE_URL": "sqlite:///jobs.db", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return {**{name: value for name, value in os.environ.items() if name != "MILLRACE_APP"}, **ours, **more}


class Running(subprocess.Popen[bytes]):
    """What a unit or an image starts, in a folder."""

    def __init__(self, folder: Path, words: Sequence[str], port: int, **variables: str) -> None:
        own = [each.replace("9100", str(port)) for each in words]
        super().__init__(own, cwd=folder, env=environment(**variables), stderr=subprocess.DEVNULL)


@pytest.fixture
def running(shop: Path, port: int) -> Iterator[list[Running]]:
    del shop, port
    started: list[Running] = []
    yield started
    for each in started:
        each.terminate()
        each.wait(30)


def healthy(port: int) -> bool:
    try:
        return ask(f"http://127.0.0.1:{port}", "/healthz").status == 200
    except OSError:
        return False


def test_the_document_has_all_files() -> None:
    assert UNITS == ["shop-health.service", "shop-health.timer", "shop-worker.service"]
    assert {"tasks.py", "requirements.txt", "Dockerfile"} <= FILES.keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """With this machine's program and user in place of those of the example, which it looks for."""
    for name in UNITS:
        text = FILES[name].replace("/srv/shop/.venv/bin/millrace", str(BIN / "millrace"))
        text = text.replace("User=shop", "User=root")
        (tmp_path / name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )

    ours = [line for line in done.stderr.splitlines() if "shop-" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_command_line_understands_what_the_units_and_the_image_start() -> None:
    worker = options(started_by("shop-worker.service"))
    assert (worker["words"], worker["metrics_port"]) == (("tasks:app",), 9100)
    assert options(started_by("shop-health.service"))["max_wait"] == 300.0
    program, *words = json.loads(instruction("CMD"))
    assert program == "millrace"
    assert options(words)["metrics_port"] == 9100


def test_a_stop_leaves_time_for_the_grace() -> None:
    service = unit("shop-worker.service")["Service"]
    assert float(service["TimeoutStopSec"]) > float(str(options(started_by("shop-worker.service"))["grace"]))
    (timeout,) = re.findall(r"--stop-timeout (\d+)", (ROOT / "docs/service.md").read_text())
    assert int(timeout) > float(str(options(json.loads(instruction("CMD"))[1:])["grace"]))


def test_what_the_unit_starts_is_well_and_stops_with_code_0(shop: Path, port: int, running: list[Running]) -> None:
    running.append(Running(shop, [str(BIN / "millrace"), *started_by("shop-worker.service")], port))
    probe = [str(BIN / "millrace"), *started_by("shop-health.service")]

    def told() -> tuple[int, str]:
        done = subprocess.run(probe, cwd=shop, env=environment(), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    eventually(lambda: healthy(port))  # the supervisor is; its workers, whom the store is asked for, follow
    eventually(lambda: told()[0] == 0)
    assert told()[1].startswith("healthy:")
    running[0].send_signal(signal.SIGTERM)  # to the first process alone, as KillMode=mixed has it
    assert running[0].wait(30) == 0
    assert told() == (1, "no worker is alive; start one with millrace worker APP\n")


def test_what_the_image_starts_is_healthy_until_it_stops(shop: Path, port: int, running: list[Running]) -> None:
    variables = dict(each.split("=", 1) for each in shlex.split(instruction("ENV")))
    probe = [each.replace("9100", str(port)) for each in json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])]

    def probed() -> int:
        return subprocess.run(probe, env=environment(), stderr=subprocess.DEVNULL, check=False).returncode

    assert probed() == 1
    running.append(Running(shop, json.loads(instruction("CMD")), port, **variables))
    eventually(lambda: healthy(port))
    assert probed() == 0
    running[0].send_signal(signal.SIGTERM)
    assert running[0].wait(30) == 0
    assert probed() == 1


def test_the_image_installs_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(re.findall(r"[a-z]+", re.findall(r"\[(.*)\]", FILES["requirements.txt"])[0]))
    assert extras <= project["optional-dependencies"].keys()
    major, minor = re.findall(r"FROM python:(\d+)\.(\d+)", FILES["Dockerfile"])[0]
    assert f"Programming Language :: Python :: {major}.{minor}" in project["classifiers"]
