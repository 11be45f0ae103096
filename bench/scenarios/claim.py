"""Owns the flatness of the claim: 100 jobs behind a long history, beside the same with nothing behind them.

Four files: nothing else in the store; 1,000,000 jobs waiting; as many finished; as many delayed at a high priority.
All are filled through the product, checkpointed by its close and opened again, and claimed from in turns by the
store's own verb. NORMAL, so that no flush of the disk levels them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.rounds import Samples, row
from bench.row import Row, at_most_times
from bench.settings import BenchmarkError
from bench.sides import ours, store_url

if TYPE_CHECKING:
    from bench.settings import Settings
    from millrace.store import Store

BATCH = 100
TURNS = 61
WARM_TURNS = 5
WORKER = 1
LEASE = 3_600_000_000  # microseconds: none is lost while this runs
EMPTY = "empty"
HISTORIES = ("waiting", "finished", "delayed")
CLAIM = "claim of 100 ms"


def run(settings: Settings) -> list[Row]:
    """Fill the files, then claim from them in turns."""
    count = settings.count(1_000_000, 50_000)
    files = {name: fill(settings, name, count) for name in (EMPTY, *HISTORIES)}
    samples = claim_in_turns({name: store_url(file, "normal") for name, file in files.items()})
    endings = {"delayed": " at high priority"}
    return compare(samples, {name: f"{count:,} {name}{endings.get(name, '')}" for name in HISTORIES})


def claim_in_turns(urls: Mapping[str, str]) -> Samples:
    """Claim from each of some stores in turn, and back; return how long each claim took, the first ones left out."""
    from millrace import Millrace

    samples: Samples = {name: [] for name in urls}
    with ExitStack() as opened:
        stores = {name: opened.enter_context(Millrace(url)).store for name, url in urls.items()}
        for turn in range(WARM_TURNS + TURNS):
            for name in list(stores)[:: -1 if turn % 2 else 1]:
                elapsed = claim(name, stores[name])
                if turn >= WARM_TURNS:
                    samples[name].append({CLAIM: elapsed * 1000})
    return samples


def compare(samples: Samples, told: Mapping[str, str], times: float = 1.5) -> list[Row]:
    """Set the claims behind each history beside those behind nothing; `told` describes each, `times` is the target."""
    return [
        row(
            samples,
            f"claim of {BATCH} with {text}",
            ours=name,
            peer=EMPTY,
            figure=CLAIM,
            target=at_most_times(times),
        )
        for name, text in told.items()
    ]


def fill(settings: Settings, name: str, count: int) -> str:
    """Write one file: its history, then the jobs to claim."""
    print(f"  filling: {name}", file=sys.stderr, flush=True)
    side = ours("normal")
    folder = settings.folder(f"claim-{name}")
    if name != EMPTY:
        side.ask(f"fill_{name}", side.options(folder, count=count))
    options = side.options(folder, count=(WARM_TURNS + TURNS) * BATCH)
    side.ask("fill", options)
    return options.file


def claim(name: str, store: Store) -> float:
    """Claim once and return how many seconds it took."""
    from millrace.messages import ClaimRequest

    started = time.perf_counter()
    answer = store.step(WORKER, (), (ClaimRequest(BATCH, lease=LEASE),))
    elapsed = time.perf_counter() - started
    if len(answer.claimed) != BATCH:
        raise BenchmarkError(f"{len(answer.claimed)} of {BATCH} jobs claimed from the file '{name}'")
    return elapsed
