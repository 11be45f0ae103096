"""Owns the drain on PostgreSQL: how fast worker processes run no-op jobs that wait already.

The waiting jobs come through the side's own bulk call, once; each run works on a copy of that database, after
`vacuum analyze` and a checkpoint.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.emptying import best_of, empty
from bench.server import one, server

if TYPE_CHECKING:
    from bench.rounds import Sample
    from bench.serversides import ServerSide
    from bench.settings import Settings


def filled(side: ServerSide, count: int, delayed: int = 0) -> str:
    """Copy a database with waiting jobs, behind others that are due in a day; returns its URL."""

    def fill(url: str) -> None:
        print(f"  filling {count:,} behind {delayed:,} for {side.name}", file=sys.stderr, flush=True)
        if delayed:
            side.ask("fill_delayed", side.at(url, count=delayed))
        side.ask("fill", side.at(url, count=count))

    # Jobs of both kinds of handler name other tasks, so each kind has a template.
    return server().filled(f"{side.module}-{side.handler}-{count}-{delayed}"[-63:], fill)


def best(settings: Settings, side: ServerSide, count: int) -> int:
    """Return the concurrency at which a side drains fastest, by one run of each."""
    return best_of(side, lambda number: drain(settings, side, count, concurrency=number))


def drain(
    settings: Settings, side: ServerSide, count: int, *, concurrency: int = 0, delayed: int = 0, processes: int = 1
) -> Sample:
    """Drain a filled database."""
    count = min(count, side.jobs)
    options = side.at(filled(side, count, delayed), count=count, concurrency=concurrency)
    with server().connect() as connection:
        return empty(settings, side, options, lambda: int(one(connection, side.unfinished)), processes)
