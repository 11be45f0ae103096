"""Owns the drain on PostgreSQL by one worker process, with sync and with async handlers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.rounds import interleave, row
from bench.row import Row, at_least_times
from bench.served import available
from bench.serverdrain import best, drain
from bench.serversides import graphile, ours, pgboss, pgqueuer, procrastinate

if TYPE_CHECKING:
    from bench.settings import Settings

KINDS = ("sync", "async")
TARGETS = {"pgqueuer": 4, "graphile-worker 500": 1.5, "pg-boss": 1.3, "procrastinate": 40}


def run(settings: Settings) -> list[Row]:
    """Drain on every side and compare. The peers' handlers are of their one kind, and stand beside both of ours."""
    count = settings.count(50_000, 5_000)
    sides = available(
        settings, *(partial(ours, kind) for kind in KINDS), pgqueuer, partial(graphile, 500), pgboss, procrastinate
    )
    samples = interleave(
        settings,
        {side.name: partial(drain, settings, side, count, concurrency=best(settings, side, count)) for side in sides},
    )
    rows = [
        row(
            samples,
            f"drain {count:,} on PostgreSQL, {kind}",
            ours=f"millrace {kind}",
            peer=peer,
            target=at_least_times(times),
        )
        for kind in KINDS
        for peer, times in TARGETS.items()
    ]
    handled = [
        row(samples, f"the same by handlers, {kind}", ours=f"millrace {kind}", figure="handled") for kind in KINDS
    ]
    return rows + handled
