"""Owns the flatness of the claim on Redis: 100 jobs behind a long history, beside the same with nothing behind them.

Four databases of one server: nothing else; 1,000,000 jobs waiting; as many finished; as many delayed at a high
priority. All are filled through the product, and claimed from in turns by the store's verb.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.redisserver import redis_server
from bench.redissides import ours
from bench.scenarios.claim import BATCH, EMPTY, HISTORIES, TURNS, WARM_TURNS, claim_in_turns, compare
from bench.served import available

if TYPE_CHECKING:
    from bench.redissides import RedisSide
    from bench.rounds import Samples
    from bench.row import Row
    from bench.settings import Settings

FLAT = 2.0  # a heap of a gigabyte costs cache misses, however little of it is looked at


def run(settings: Settings) -> list[Row]:
    """Fill the databases, then claim from them in turns."""
    count = settings.count(1_000_000, 50_000)
    samples: Samples = {}
    redis_server().fresh()
    for side in available(settings, ours):
        urls = {name: fill(side, name, count, place) for place, name in enumerate((EMPTY, *HISTORIES))}
        redis_server().settle()
        samples |= claim_in_turns(urls)
    redis_server().fresh()
    return compare(samples, {name: f"{count:,} {name}, Redis" for name in HISTORIES}, FLAT)


def fill(side: RedisSide, name: str, count: int, database: int) -> str:
    """Fill one database: its history, then the jobs to claim."""
    print(f"  filling: {name}", file=sys.stderr, flush=True)
    url = redis_server().url(database)
    if name != EMPTY:
        side.ask(f"fill_{name}", side.at(url, count=count))
    side.ask("fill", side.at(url, count=(WARM_TURNS + TURNS) * BATCH))
    return url
