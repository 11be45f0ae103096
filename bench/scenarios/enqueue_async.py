"""Owns `aenqueue` from 50 tasks of one event loop at FULL, beside single commits of two kinds.

huey has no awaitable enqueue, so its figure is that of enqueues one at a time. aiosqlite inserts the very rows that
Millrace stores into the same schema, from 50 tasks too, each INSERT a transaction of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.scenarios.enqueue import put
from bench.sides import aiosqlite, huey, ours

if TYPE_CHECKING:
    from bench.settings import Settings
    from bench.sides import Side

WARM_ROWS = 10  # more than the driver's warm-up takes


def run(settings: Settings) -> list[Row]:
    """Enqueue from 50 tasks and compare with both."""
    mine, single, bare = ours("full"), huey("full"), aiosqlite()
    samples = interleave(
        settings,
        {
            mine.name: partial(put_async, settings, mine),
            single.name: partial(put, settings, single),
            bare.name: partial(put_rows, settings, mine, bare),
        },
    )
    measure = "aenqueue from 50 tasks, FULL"
    return [
        row(samples, measure, ours=mine.name, peer=single.name, target=at_least_times(8)),
        row(samples, measure, ours=mine.name, peer=bare.name, target=at_least_times(4)),
    ]


def put_async(settings: Settings, mine: Side) -> Sample:
    """Enqueue into a new store."""
    options = mine.options(settings.folder("enqueue_async"), count=settings.count(20_000, 5_000))
    return mine.ask("put_async", options)


def put_rows(settings: Settings, mine: Side, bare: Side) -> Sample:
    """Insert the rows of a filled store into an empty one."""
    count = settings.count(5_000, 1_000)
    template = mine.options(settings.folder("template"), count=count + WARM_ROWS)
    mine.ask("fill", template)
    options = bare.options(settings.folder("enqueue_async"), count=count, template=template.file)
    mine.ask("create", options)
    return bare.ask("put_async", options)
