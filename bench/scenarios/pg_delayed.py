"""Owns the drain on PostgreSQL behind 500,000 jobs that are due in a day, beside the same without them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import Run, interleave, row
from bench.row import Row, at_least_times
from bench.served import available, named
from bench.serverdrain import best, drain
from bench.serversides import ours, pgqueuer

if TYPE_CHECKING:
    from bench.settings import Settings

KINDS = ("sync", "async")
PEER_JOBS = 10_000  # behind the delayed ones a peer may take minutes for more


def run(settings: Settings) -> list[Row]:
    """Drain both ways on each side."""
    count, delayed = settings.count(50_000, 5_000), settings.count(500_000, 50_000)
    runs: dict[str, Run] = {}
    for name, side in named(available(settings, *(partial(ours, kind) for kind in KINDS), pgqueuer)).items():
        jobs = count if name.startswith("millrace") else min(count, PEER_JOBS)
        concurrency = best(settings, side, jobs)
        runs[name] = partial(drain, settings, side, jobs, concurrency=concurrency)
        runs[f"{name} behind"] = partial(drain, settings, side, jobs, concurrency=concurrency, delayed=delayed)
    samples = interleave(settings, runs)
    measure = f"drain behind {delayed:,} delayed"
    return [
        *(
            row(
                samples,
                f"{measure}, {kind}, beside without",
                ours=f"millrace {kind} behind",
                peer=f"millrace {kind}",
                target=at_least_times(0.9),
            )
            for kind in KINDS
        ),
        row(samples, f"{measure}, both behind them", ours="millrace sync behind", peer="pgqueuer behind"),
        row(samples, "the same without delayed ones", ours="millrace sync", peer="pgqueuer"),
    ]
