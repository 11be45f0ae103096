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
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

WARM = 5
IDLE_SECONDS = 1.0
SEED = 7


@dataclass(frozen=True)
class Options:
    """What a command is told; each command reads what it needs. `file` is a database's URL where a server keeps it."""

    file: str
    synchronous: str = "full"
    handler: str = "sync"
    count: int = 0
    concurrency: int = 1
    lanes: int = 50
    template: str = ""
    setting: str = ""
    seconds: float = 0.0
    interval: float = 0.020
    jitter: float = 0.010


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
    started = time.perf_counter()
    await from_lanes(put, count, lanes)
    return {"rate": count / (time.perf_counter() - started)}


async def from_lanes(put: Callable[[int], Awaitable[object]], count: int, lanes: int) -> None:
    """Call from several tasks of one event loop, each awaiting its own calls one by one."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await put(number)

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def put_in_bulk(put: Callable[[], Awaitable[object]], count: int) -> Answer:
    """Enqueue all by one call, the building of the jobs included."""
    started = time.perf_counter()
    await put()
    return {"rate": count / (time.perf_counter() - started)}


@dataclass
class Pace:
    """One job each so many seconds, give or take some, with the times when each call began and returned.

    The first `WARM` numbers come before, followed by a pause, so that the worker is up and idle.
    """

    options: Options
    called: list[float] = field(default_factory=list[float])
    returned: list[float] = field(default_factory=list[float])

    def waits(self) -> Iterator[tuple[int, float]]:
        """Yield each number, and how many seconds to wait before it."""
        chance = random.Random(SEED)
        due = time.monotonic()
        interval, jitter = self.options.interval, self.options.jitter
        for number in range(WARM, WARM + self.options.count):
            due += interval + chance.uniform(-jitter, jitter)
            yield number, max(0.0, due - time.monotonic())

    def answer(self) -> Answer:
        """Return the times."""
        return {"called": self.called, "returned": self.returned}


def put_paced(put: Callable[[int], object], options: Options) -> Answer:
    """Enqueue at the pace."""
    for number in range(WARM):
        put(number)
    time.sleep(IDLE_SECONDS)
    pace = Pace(options)
    for number, wait in pace.waits():
        time.sleep(wait)
        pace.called.append(time.monotonic())
        put(number)
        pace.returned.append(time.monotonic())
    return pace.answer()


async def put_paced_async(put: Callable[[int], Awaitable[object]], options: Options) -> Answer:
    """Enqueue at the pace, from one task of an event loop."""
    for number in range(WARM):
        await put(number)
    await asyncio.sleep(IDLE_SECONDS)
    pace = Pace(options)
    for number, wait in pace.waits():
        await asyncio.sleep(wait)
        pace.called.append(time.monotonic())
        await put(number)
        pace.returned.append(time.monotonic())
    return pace.answer()
