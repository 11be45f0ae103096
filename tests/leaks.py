"""What a test must give back: threads and file descriptors. Owns how they are counted, and the patience to wait."""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

# Threads and sockets that were told to end may take a moment; a leak never ends, so this only bounds the failure.
PATIENCE = 5.0
# The folder that lists the open descriptors of the process that reads it, on Linux and on macOS.
DESCRIPTORS = Path("/dev/fd")


@dataclass(frozen=True, slots=True)
class Held:
    """The threads and descriptors that the process holds at one moment."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]

    @classmethod
    def now(cls) -> Held:
        """Look at the process as it is."""
        return cls(frozenset(threading.enumerate()), frozenset(_open_descriptors()))

    def since(self, before: Held) -> list[str]:
        """Name what is held now and was not before."""
        return [
            *(f"thread {thread.name!r}" for thread in self.threads - before.threads),
            *(f"descriptor {number} ({target})" for number, target in self.descriptors - before.descriptors),
        ]


def leaks_since(before: Held, patience: float = PATIENCE) -> list[str]:
    """Name what is still held that was not before, once it had `patience` seconds to go away."""
    deadline = time.monotonic() + patience
    for thread in Held.now().threads - before.threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = Held.now().since(before)
    if left:
        gc.collect()  # a cycle may hold a descriptor; how late it is collected is no fault of the test
    while (left := Held.now().since(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return sorted(left)


def _open_descriptors() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for entry in DESCRIPTORS.iterdir():
        try:
            os.fstat(int(entry.name))  # the descriptor of the listing itself is closed by now
            found.append((int(entry.name), _target(entry)))
        except OSError:
            continue
    return found


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # a system that lists descriptors but does not say what they are
        return "open"
