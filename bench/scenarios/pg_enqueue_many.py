"""Owns `enqueue_many` on PostgreSQL, beside the peers' bulk calls and bare inserts of the same rows.

Ours and the peers' include the building of the jobs from their arguments. The bare rows are ready in memory, in the
database's own text, and go into the same schema: by one COPY, and by one INSERT from `unnest` of arrays.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Run, Sample, interleave, row
from bench.row import Row, at_least_times
from bench.served import available, named
from bench.server import server
from bench.serversides import ours, pgboss, pgqueuer

if TYPE_CHECKING:
    from bench.serversides import ServerSide
    from bench.settings import Settings

MINE = "millrace sync"
TARGETS = {"pgqueuer": 1.3, "pg-boss": 1.3, "COPY": 0.9, "unnest": 0.9}
TEMPLATE = "template"


def run(settings: Settings) -> list[Row]:
    """Insert in bulk in every way."""
    count = settings.count(20_000, 5_000)
    sides = named(available(settings, ours, pgqueuer, pgboss))
    runs: dict[str, Run] = {name: partial(put_many, side, count) for name, side in sides.items()}
    if MINE in sides:
        runs["COPY"] = partial(put_bare, sides[MINE], "put_copy", count)
        runs["unnest"] = partial(put_bare, sides[MINE], "put_unnest", count)
    samples = interleave(settings, runs)
    server().forget(TEMPLATE)
    return [
        row(samples, f"enqueue_many of {count:,}, PostgreSQL", ours=MINE, peer=peer, target=at_least_times(times))
        for peer, times in TARGETS.items()
    ]


def put_many(side: ServerSide, count: int) -> Sample:
    """Enqueue all of them into a new database by one call."""
    options = side.at(server().fresh(), count=count)
    side.ask("create", options)
    return side.ask("put_many", options)


def put_bare(mine: ServerSide, command: str, count: int) -> Sample:
    """Insert the rows of a filled database into an empty one."""
    template = server().url(TEMPLATE)
    server().filled(TEMPLATE, lambda url: mine.ask("fill", mine.at(url, count=count + 1)), database="unused")
    options = mine.at(server().fresh(), template=template)
    mine.ask("create", options)
    return mine.ask(command, options)
