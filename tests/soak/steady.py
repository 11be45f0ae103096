"""The processes of the steady load: `python -m tests.soak.steady PART URL FOLDER`. Owns its tasks and its pace.

Every job has a number. A handler writes its job's number to a file of its process, so that at the end it can be seen
that each has run, whatever has been deleted meanwhile. A producer says at its end how many it has enqueued.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from millrace import Millrace, NewJob
from tests.faults.stage import tell

__all__ = ["RETENTION", "make_app", "numbers_of"]

RETENTION = 40.0  # seconds: short, so that deleting keeps up with the load from early on
LEASE = 2.0  # seconds
LONG = 0.1  # seconds: so that a kill finds jobs at work
WARM = 200  # jobs that make workers start all their threads, which they do as they need them
EACH, PACE = 15, 0.1  # jobs at a time, and seconds between two times
NUMBER = 8  # bytes of a number in a file


def make_app(url: str, folder: Path) -> Millrace:
    """Make the app of all processes; a file for the numbers is made when the first is written."""
    app = Millrace(url, retention=RETENTION)
    files: list[int] = []

    def note(number: int) -> None:
        if not files:
            files.append(os.open(folder / f"{os.getpid()}.ran", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        os.write(files[0], number.to_bytes(NUMBER, "big"))

    @app.task(name="loop", lease=LEASE, max_crashes=100)
    async def on_the_loop(number: int) -> int:
        await asyncio.sleep(LONG)
        note(number)
        return number

    @app.task(name="thread", lease=LEASE, max_crashes=100)
    def in_a_thread(number: int) -> int:
        note(number)
        return number

    @app.task(name="warm")
    def warm() -> None:
        time.sleep(LONG)

    assert (on_the_loop.name, in_a_thread.name, warm.name) == ("loop", "thread", "warm")
    return app


def numbers_of(folder: Path) -> Iterator[int]:
    """Read the numbers of all jobs that have run, as often as they have."""
    for path in folder.glob("*.ran"):
        data = path.read_bytes()
        for at in range(0, len(data) - NUMBER + 1, NUMBER):
            yield int.from_bytes(data[at : at + NUMBER], "big")


def work(app: Millrace) -> None:
    """Be a worker, until SIGTERM."""
    app.store.migrate()
    tell("ready")
    app.run_worker(concurrency=10)


def produce(app: Millrace) -> None:
    """Enqueue at a steady pace until the input ends; then say how many there were."""
    app.store.migrate()
    tell("ready")
    app.enqueue_many([NewJob("warm") for _ in range(WARM)])
    number = 0
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))[0]:
        due += PACE
        batch = range(number, number + EACH)
        app.enqueue_many([NewJob("loop" if each % 2 else "thread", {"number": each}) for each in batch])
        number += EACH
    tell(number)


def main(part: str, url: str, folder: str) -> None:
    """Play a part."""
    with make_app(url, Path(folder)) as app:
        {"work": work, "produce": produce}[part](app)


if __name__ == "__main__":
    main(*sys.argv[1:])
