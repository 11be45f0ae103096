"""Owns `enqueue_many`, beside a bare `executemany` of the same rows into the same schema in one transaction.

Ours includes the building of the jobs from their arguments; the bare rows are ready in memory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.sides import Side, ours

if TYPE_CHECKING:
    from bench.settings import Settings

BARE = "executemany"


def run(settings: Settings) -> list[Row]:
    """Insert in bulk both ways, at the default durability."""
    mine = ours("full")
    count = settings.count(20_000, 5_000)
    samples = interleave(
        settings,
        {mine.name: partial(put_many, settings, mine, count), BARE: partial(put_bare, settings, mine, count)},
    )
    return [row(samples, f"enqueue_many of {count:,}", ours=mine.name, peer=BARE, target=at_least_times(0.5))]


def put_many(settings: Settings, mine: Side, count: int) -> Sample:
    """Enqueue all of them into a new store."""
    return mine.ask("put_many", mine.options(settings.folder("enqueue_many"), count=count))


def put_bare(settings: Settings, mine: Side, count: int) -> Sample:
    """Insert the rows of a filled store into an empty one."""
    template = mine.options(settings.folder("template"), count=count + 1)
    mine.ask("fill", template)
    options = mine.options(settings.folder("enqueue_many"), template=template.file)
    mine.ask("create", options)
    return mine.ask("put_bare", options)
