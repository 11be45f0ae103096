"""Owns the drain on Redis by one worker process, with sync and with async handlers.

The peers' handlers are of their one kind, and stand beside both of ours. Which peer in Python is the fastest is seen in
this very run; its figure is the one to be beaten, the others stand below.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from bench.redisdrain import best, drain
from bench.redissides import PYTHON_PEERS, bullmq, ours
from bench.rounds import interleave, row
from bench.row import Row, at_least_times
from bench.served import available

if TYPE_CHECKING:
    from bench.rounds import Samples
    from bench.settings import Settings

KINDS = ("sync", "async")
BESIDE_BULLMQ, BESIDE_PYTHON = 4, 15


def run(settings: Settings) -> list[Row]:
    """Drain on every side and compare."""
    count = settings.count(100_000, 10_000)
    mine = available(settings, *(partial(ours, kind) for kind in KINDS))
    node, peers = available(settings, bullmq), available(settings, *PYTHON_PEERS)
    samples = interleave(
        settings,
        {
            side.name: partial(drain, settings, side, count, concurrency=best(settings, side))
            for side in (*mine, *node, *peers)
        },
    )
    ranked = ranking(samples, [side.name for side in peers])
    targets = {"bullmq": BESIDE_BULLMQ, **dict.fromkeys(ranked[:1], BESIDE_PYTHON)}
    measure = f"drain {count:,} on Redis"
    rows = [
        row(samples, f"{measure}, {kind}", ours=f"millrace {kind}", peer=peer, target=at_least_times(times))
        for kind in KINDS
        for peer, times in targets.items()
    ]
    others = [row(samples, f"{measure}, sync", ours="millrace sync", peer=peer) for peer in ranked[1:]]
    handled = [
        row(samples, f"the same by handlers, {kind}", ours=f"millrace {kind}", figure="handled") for kind in KINDS
    ]
    return rows + others + handled


def ranking(samples: Samples, names: list[str]) -> list[str]:
    """Return sides by their median rates, the fastest first."""
    return sorted(names, key=lambda name: -median(sample["rate"] for sample in samples[name]))
