"""The workers of the ticking soak: `python -m tests.soak.ticking work URL FOLDER`. Owns their task and its notes.

A handler writes its job's id to a file of its process, so that at the end it can be seen that each tick has run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from millrace import Millrace, current_job
from tests.faults.stage import tell

__all__ = ["SIZE", "TASK", "ids_of", "make_app"]

TASK = "tick"
SIZE = 16  # bytes of an id in a file
LEASE = 2.0  # seconds


def make_app(url: str, folder: Path) -> Millrace:
    """Make the app of all processes; a file for the ids is made when the first is written."""
    app = Millrace(url)
    files: list[int] = []

    @app.task(name=TASK, lease=LEASE, max_crashes=100)
    def tick() -> None:
        if not files:
            files.append(os.open(folder / f"{os.getpid()}.ran", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        os.write(files[0], current_job().job.id.bytes)

    assert tick.name == TASK
    return app


def ids_of(folder: Path) -> Iterator[bytes]:
    """Read the ids of all jobs that have run, as often as they have."""
    for path in folder.glob("*.ran"):
        data = path.read_bytes()
        for at in range(0, len(data) - SIZE + 1, SIZE):
            yield data[at : at + SIZE]


def main(part: str, url: str, folder: str) -> None:
    """Be a worker, until SIGTERM."""
    assert part == "work"
    with make_app(url, Path(folder)) as app:
        app.store.migrate()
        tell("ready")
        app.run_worker(concurrency=10)


if __name__ == "__main__":
    main(*sys.argv[1:])
