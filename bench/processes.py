"""Owns the other processes of a benchmark: drivers that answer, workers that run until stopped, and what these use.

A process is ended by its own number alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import REPOSITORY
from bench.probe import VARIABLE
from bench.settings import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from bench.driver import Options

ANSWER_SECONDS = 600.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.01
LOG_TAIL = 2000


def environment(probe: Path | None = None, **more: str) -> dict[str, str]:
    """Return what every process of ours is given: this repository to import from, and where handlers report."""
    named = {VARIABLE: str(probe)} if probe else {}
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **named, **more}


def driver_command(python: Path, module: str, command: str, options: Options) -> list[str]:
    """Return the command line of a driver."""
    return [str(python), "-m", module, command, json.dumps(asdict(options))]


def ask(command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    """Run a driver to its end and return its answer."""
    done = subprocess.run(
        command, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-LOG_TAIL:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def working(
    command: Sequence[str], env: Mapping[str, str], log: Path
) -> Generator[subprocess.Popen[bytes], None, None]:
    """Keep a worker running within the block; it is asked to stop at the end, and killed if it does not."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=env, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def poll(reached: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Look until a condition holds, the worker is dead or the time is over; say whether it holds."""
    deadline = time.monotonic() + seconds
    while not reached():
        if process.poll() is not None or time.monotonic() > deadline:
            return reached()
        time.sleep(LOOK_SECONDS)
    return True


def wait_until(
    reached: Callable[[], bool], what: str, *, seconds: float, process: subprocess.Popen[bytes], log: Path
) -> float:
    """Wait for a condition and return when it was seen; a dead worker or a passed deadline is an error."""
    if not poll(reached, process, seconds):
        dead = process.returncode is not None
        why = f"the worker ended with {process.returncode}" if dead else f"{seconds:g} s passed"
        raise BenchmarkError(f"waited for {what}, but {why}; its log ends:\n{log_tail(log)}")
    return time.monotonic()


def log_tail(log: Path) -> str:
    """Return the end of a worker's log."""
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]


def memory_megabytes(pid: int) -> float:
    """Return the resident memory of a process in units of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchmarkError(f"process {pid} tells no resident memory")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
