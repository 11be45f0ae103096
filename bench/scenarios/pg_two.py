"""Owns the better of one and two worker processes on PostgreSQL, beside graphile-worker with a local queue of 2,000.

That peer deletes what is done by its number alone; ours keeps every job, and finishes only what it still holds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Samples, interleave, row
from bench.row import Row, at_least_times
from bench.served import available
from bench.serverdrain import best, drain
from bench.serversides import graphile, ours

if TYPE_CHECKING:
    from bench.rounds import Sample
    from bench.serversides import ServerSide
    from bench.settings import Settings

KINDS = ("sync", "async")
PEER = "graphile-worker 2000"


def run(settings: Settings) -> list[Row]:
    """Drain by one and by two processes each round, and let the better count."""
    count = settings.count(50_000, 5_000)
    sides = available(settings, *(partial(ours, kind) for kind in KINDS), partial(graphile, 2000))
    samples: Samples = interleave(
        settings, {side.name: partial(better, settings, side, count, best(settings, side, count)) for side in sides}
    )
    return [
        row(
            samples,
            f"better of one and two processes, {count:,}, {kind}",
            ours=f"millrace {kind}",
            peer=PEER,
            target=at_least_times(1.0),
        )
        for kind in KINDS
    ]


def better(settings: Settings, side: ServerSide, count: int, concurrency: int) -> Sample:
    """Drain both ways."""
    rates = {
        processes: drain(settings, side, count, concurrency=concurrency, processes=processes)["rate"]
        for processes in (1, 2)
    }
    return {"rate": max(rates.values()), "by one": rates[1], "by two": rates[2]}
