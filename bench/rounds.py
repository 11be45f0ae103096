"""Owns the order of runs and the rows made of them: every side once a round, so that all meet the same weather."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bench.row import Row, Target

if TYPE_CHECKING:
    from bench.settings import Settings

Sample = Mapping[str, float]
Run = Callable[[], Sample]
Samples = dict[str, list[Sample]]


def interleave(settings: Settings, runs: Mapping[str, Run]) -> Samples:
    """Run each side once a round and return its samples by its name; every other round goes backwards."""
    samples: Samples = {name: [] for name in runs}
    for number in range(settings.rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            sample = runs[name]()
            samples[name].append(sample)
            told = ", ".join(f"{key} {value:,.4g}" for key, value in sample.items())
            print(f"  round {number + 1}  {name:<24} {told}", file=sys.stderr, flush=True)
    return samples


def column(samples: Samples, name: str, figure: str) -> list[float]:
    """Return one figure of each sample of a side; nothing of a side that could not be measured."""
    return [sample[figure] for sample in samples.get(name, ())]


def row(
    samples: Samples, measure: str, *, ours: str, peer: str = "", target: Target | None = None, figure: str = "rate"
) -> Row:
    """Return the row of one figure, which is a rate of jobs unless it says another unit: `p50 ms`."""
    unit = figure.rpartition(" ")[2] if " " in figure else "jobs/s"
    return Row(
        measure=measure,
        unit=unit,
        ours=column(samples, ours, figure),
        peer=peer,
        peers=column(samples, peer, figure),
        target=target,
    )
