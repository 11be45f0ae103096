"""Owns `aenqueue` from 50 tasks of one event loop on PostgreSQL, beside the peers' concurrent enqueue.

The peers are given a pool of 10 connections; ours has the one of a producer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.served import available
from bench.server import server
from bench.serversides import ours, pgqueuer, procrastinate

if TYPE_CHECKING:
    from bench.serversides import ServerSide
    from bench.settings import Settings

MINE = "millrace sync"


def run(settings: Settings) -> list[Row]:
    """Enqueue from 50 tasks on each side."""
    sides = available(settings, ours, pgqueuer, procrastinate)
    counts = {
        side.name: settings.count(20_000, 4_000) if side.name == MINE else settings.count(5_000, 1_000)
        for side in sides
    }
    samples = interleave(settings, {side.name: partial(put_async, side, counts[side.name]) for side in sides})
    return [
        row(samples, "enqueue from 50 tasks, PostgreSQL", ours=MINE, peer=peer, target=at_least_times(5))
        for peer in ("pgqueuer", "procrastinate")
    ]


def put_async(side: ServerSide, count: int) -> Sample:
    """Enqueue into a new database."""
    options = side.at(server().fresh(), count=count)
    side.ask("create", options)
    return side.ask("put_async", options)
