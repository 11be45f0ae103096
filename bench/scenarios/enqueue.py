"""Owns single enqueues: one process, one job at a time, each call waiting for its own commit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Sample, interleave, row
from bench.row import Row, at_least_times
from bench.sides import Side, huey, ours

if TYPE_CHECKING:
    from bench.settings import Settings


def run(settings: Settings) -> list[Row]:
    """Enqueue with and without a flush for each commit."""
    pairs = [(ours("full"), huey("full"), 1.0), (ours("normal"), huey("off"), 0.9)]
    sides = [side for mine, peer, _ in pairs for side in (mine, peer)]
    samples = interleave(settings, {side.name: partial(put, settings, side) for side in sides})
    return [
        row(
            samples,
            f"enqueue one at a time, {mine.synchronous.upper()}",
            ours=mine.name,
            peer=peer.name,
            target=at_least_times(times),
        )
        for mine, peer, times in pairs
    ]


def put(settings: Settings, side: Side) -> Sample:
    """Enqueue into a new store."""
    options = side.options(settings.folder("enqueue"), count=settings.count(5_000, 1_000))
    return side.ask("put", options)
