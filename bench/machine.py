"""Owns what a result must say about the machine it was taken on, and whether others kept it busy meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

REPOSITORY = Path(__file__).parent.parent
FLUSHES = 200
PAGE = bytes(4096)
WORKING = (0, 1, 2, 5, 6)  # the columns of /proc/stat that are work: user, nice, system, interrupts


def describe(folder: Path) -> dict[str, object]:
    """Return the machine's data: processors, system, versions, the code's revision and how fast the disk flushes."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "flush_ms": round(flush_milliseconds(folder), 3),
        "revision": revision(),
    }


def processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def revision() -> str:
    """Return the commit that is measured, or nothing outside a clone."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]  # git of the path
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def flush_milliseconds(folder: Path) -> float:
    """Return the median time that one written page takes to reach the disk."""
    path = folder / "flush"
    times: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(PAGE)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(times) * 1000


class Foreign:
    """How many cores' worth of work processes other than ours did, while `watching`."""

    cores = 0.0


@contextmanager
def watching() -> Generator[Foreign, None, None]:
    """Measure the work of others within the block; zero where the system has no /proc."""
    foreign = Foreign()
    started, all_before, own_before = time.monotonic(), all_work(), own_work()
    yield foreign
    others = (all_work() - all_before) - (own_work() - own_before)
    foreign.cores = max(0.0, others / (time.monotonic() - started))


def all_work() -> float:
    """Return the processor seconds that all processes have used since the system's start."""
    try:
        fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    except OSError:
        return own_work()
    return sum(int(fields[column]) for column in WORKING) / os.sysconf("SC_CLK_TCK")


def own_work() -> float:
    """Return the processor seconds of this process and of all that it has started, ended or not."""
    usages = [resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + descendants_work()


def descendants_work() -> float:
    """Return the processor seconds of the living processes below this one, with those that these have waited for."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        number = int(entry.parent.name)
        parents[number], ticks[number] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(ticks[number] for number in parents if descends(number, parents)) / os.sysconf("SC_CLK_TCK")


def descends(number: int, parents: dict[int, int]) -> bool:
    """Say whether a process is below this one."""
    while (parent := parents.get(number)) is not None:
        if parent == os.getpid():
            return True
        number = parent
    return False
