"""Owns what one side does in a process of its own: the command line of a driver and its timed loops.

A driver is a module run by the side's own Python as `-m MODULE COMMAND OPTIONS`, OPTIONS being JSON; it prints one
JSON object. Standard library only: it runs in the peers' environments. It must not know any peer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

WARM = 5
IDLE_SECONDS = 1.0
INTERVAL_SECONDS = 0.020
JITTER_SECONDS = 0.010
SEED = 7


@dataclass(frozen=True)
class Options:
    """What a command is told; each command reads what it needs."""

    file: str
    synchronous: str = "full"
    handler: str = "sync"
    count: int = 0
    concurrency: int = 1
    lanes: int = 50
    template: str = ""


Answer = Mapping[str, object]
Command = Callable[[Options], Answer | None]


def main(commands: Mapping[str, Command]) -> None:
    """Run the command that the command line names and print its answer."""
    name, options = sys.argv[1], Options(**json.loads(sys.argv[2]))
    answer = commands[name](options)
    sys.stdout.write(json.dumps(answer or {}) + "\n")


def put_each(put: Callable[[int], object], count: int) -> Answer:
    """Enqueue one at a time, each call waiting for its own commit."""
    for number in range(WARM):
        put(number)
    started = time.perf_counter()
    for number in range(count):
        put(number)
    return {"rate": count / (time.perf_counter() - started)}


async def put_from_lanes(put: Callable[[int], Awaitable[object]], count: int, lanes: int) -> Answer:
    """Enqueue from several tasks of one event loop, each awaiting its own jobs one by one."""
    for number in range(WARM):
        await put(number)
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await put(number)

    started = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return {"rate": count / (time.perf_counter() - started)}


def put_paced(put: Callable[[int], object], count: int) -> Answer:
    """Enqueue one job each 20 ms, give or take 10, and tell when each call began and returned.

    The first `WARM` numbers come before, followed by a pause, so that the worker is up and idle.
    """
    for number in range(WARM):
        put(number)
    time.sleep(IDLE_SECONDS)
    chance = random.Random(SEED)
    called: list[float] = []
    returned: list[float] = []
    due = time.monotonic()
    for number in range(WARM, WARM + count):
        due += INTERVAL_SECONDS + chance.uniform(-JITTER_SECONDS, JITTER_SECONDS)
        time.sleep(max(0.0, due - time.monotonic()))
        called.append(time.monotonic())
        put(number)
        returned.append(time.monotonic())
    return {"called": called, "returned": returned}
