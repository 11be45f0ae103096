"""Owns the tasks that the benchmarks run on Millrace; the store is the one that `MILLRACE_URL` names."""

from __future__ import annotations

import asyncio

from bench.probe import note, reporting
from millrace import Millrace

HELD_LEASE_SECONDS = 2.0
HELD_SECONDS = 3600.0

app = Millrace()


@app.task
def noop(number: int) -> None:
    """Do nothing but report, in a thread."""
    note(number)


@app.task
async def noop_async(number: int) -> None:
    """Do nothing but report, on the event loop."""
    note(number)


@app.task
def silent(number: int) -> None:
    """Do nothing at all."""


@app.task
def small(number: int, text: str) -> int:
    """Return a small result."""
    return number + len(text)


@app.task(lease=HELD_LEASE_SECONDS)
async def held(number: int) -> None:
    """Be held for as long as the first worker lives, and end at once when it is run again."""
    probe = reporting()
    if probe.begin(number) == 1:
        await asyncio.sleep(HELD_SECONDS)
    probe.end(number)
