"""Owns the flatness of the claim on PostgreSQL: 100 jobs behind a long history, beside the same with nothing behind.

Four databases of one server: nothing else; 1,000,000 jobs waiting; as many finished; as many delayed at a high
priority. All are filled through the product, vacuumed and checkpointed, and claimed from in turns by the store's verb.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.scenarios.claim import BATCH, EMPTY, HISTORIES, TURNS, WARM_TURNS, claim_in_turns, compare
from bench.served import available
from bench.server import server
from bench.serversides import ours

if TYPE_CHECKING:
    from bench.rounds import Samples
    from bench.row import Row
    from bench.serversides import ServerSide
    from bench.settings import Settings


def run(settings: Settings) -> list[Row]:
    """Fill the databases, then claim from them in turns."""
    count = settings.count(1_000_000, 50_000)
    samples: Samples = {}
    for side in available(settings, ours):
        samples |= claim_in_turns({name: fill(side, name, count) for name in (EMPTY, *HISTORIES)})
    server().forget(*(f"claim-{name}" for name in (EMPTY, *HISTORIES)))
    return compare(samples, {name: f"{count:,} {name}, PostgreSQL" for name in HISTORIES})


def fill(side: ServerSide, name: str, count: int) -> str:
    """Fill one database: its history, then the jobs to claim."""
    print(f"  filling: {name}", file=sys.stderr, flush=True)
    url = server().fresh(f"claim-{name}")
    if name != EMPTY:
        side.ask(f"fill_{name}", side.at(url, count=count))
    side.ask("fill", side.at(url, count=(WARM_TURNS + TURNS) * BATCH))
    with server().connect(f"claim-{name}") as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
    return url
