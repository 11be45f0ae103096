"""Owns what handlers report: when each numbered job began and ended, and how often.

A file mapped into the worker and into the benchmark; a report costs well under a microsecond and goes through no
queue's own interface, so every peer is watched in the same way. Every job writes only its own slots, so threads need
no lock. Standard library only: it runs in the peers' environments. It must not know any peer.
"""

from __future__ import annotations

import functools
import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "MILLRACE_BENCH_PROBE"
SLOT_BYTES = 18  # two doubles (began, ended) and two counters of a byte (begins, ends)


class Probe:
    """The mapped report file of one run; times are CLOCK_MONOTONIC seconds, which all processes of one boot share."""

    def __init__(self, path: Path) -> None:
        """Map the file that `create` made."""
        with path.open("r+b") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0))
        self.capacity = capacity = len(mapped) // SLOT_BYTES
        self.began = mapped[: 8 * capacity].cast("d")
        self.ended = mapped[8 * capacity : 16 * capacity].cast("d")
        self.begins = mapped[16 * capacity : 17 * capacity]
        self.ends = mapped[17 * capacity :]

    @classmethod
    def create(cls, path: Path, capacity: int) -> Probe:
        """Make an empty report file for the job numbers 0 to `capacity` - 1."""
        path.write_bytes(bytes(SLOT_BYTES * capacity))
        return cls(path)

    def begin(self, number: int) -> int:
        """Note that a job begins; returns how often it has begun by now."""
        self.began[number] = time.monotonic()
        self.begins[number] += 1
        return self.begins[number]

    def end(self, number: int) -> None:
        """Note that a job's handler is at its end."""
        self.ends[number] += 1
        self.ended[number] = time.monotonic()

    def begun_jobs(self, at_least: int = 1) -> int:
        """Count the jobs that have begun at least so many times."""
        return sum(count >= at_least for count in self.begins)

    def ended_jobs(self) -> int:
        """Count the jobs that have ended at least once."""
        return self.capacity - bytes(self.ends).count(0)

    def repeated_jobs(self) -> int:
        """Count the jobs that have ended more than once."""
        return sum(count > 1 for count in self.ends)

    def span(self) -> Span:
        """Return the time of the first begin and of the last end; only once every job has ended."""
        return Span(min(self.began), max(self.ended))


@dataclass(frozen=True)
class Span:
    """From the first handler's begin to the last handler's end."""

    first_begin: float
    last_end: float

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.last_end - self.first_begin


@functools.cache
def reporting() -> Probe:
    """Return the probe that the environment names, mapped once in each process."""
    return Probe(Path(os.environ[VARIABLE]))


def note(number: int) -> None:
    """Be the whole body of a no-op job, which begins and ends in one moment: all but nothing, as the jobs are."""
    probe = reporting()
    probe.began[number] = probe.ended[number] = time.monotonic()
    probe.begins[number] += 1
    probe.ends[number] += 1
