"""Owns where the benchmarks keep things outside the repository, and the peers' environments there.

The home is `MILLRACE_BENCH_HOME`, else `millrace-bench` in the user's cache folder. Each line of `peers.txt` is one
peer with an environment of its own, made anew when the line changes.
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

if TYPE_CHECKING:
    from collections.abc import Generator

PINS = Path(__file__).with_name("peers.txt")


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


def pins() -> dict[str, str]:
    """Return each peer's pinned requirement by its name."""
    lines = PINS.read_text(encoding="utf-8").split()
    return {line.partition("==")[0]: line for line in lines}


def python_of(peer: str) -> Path:
    """Return the Python that has this peer, setting its environment up where needed."""
    requirement = pins()[peer]
    folder = home() / "venvs" / peer
    python, stamp = folder / "bin" / "python", folder / "requirement"
    wanted = f"{requirement} on {sys.version}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"setting up {requirement}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", requirement]
        subprocess.run(install, check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python
