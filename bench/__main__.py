"""Owns the command line: `python -m bench [SCENARIO ...]`."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import venvs
from bench.machine import describe, watching
from bench.row import Row, table
from bench.settings import BenchmarkError, Settings

RESULTS = Path(__file__).parent / "results" / "results.jsonl"
BUSY_CORES = 0.3  # more than this used by other processes: the figures are doubtful
STORES = {
    "sqlite": (
        "idle",
        "drain",
        "enqueue",
        "enqueue_async",
        "enqueue_many",
        "latency",
        "killed",
        "claim",
        "limits",
        "followers",
    ),
    "postgres": (
        "pg_drain",
        "pg_delayed",
        "pg_two",
        "pg_enqueue_async",
        "pg_enqueue_many",
        "pg_claim",
        "pg_latency",
        "pg_wal",
        "pg_steady",
        "pg_limits",
    ),
    "redis": (
        "redis_drain",
        "redis_enqueue_async",
        "redis_enqueue_many",
        "redis_latency",
        "redis_claim",
        "redis_limits",
    ),
    "schedules": ("ticks",),
}
SCENARIOS = tuple(name for names in STORES.values() for name in names)


def main() -> int:
    """Run what was asked for; 1 where a scenario could not be measured."""
    arguments = parser().parse_args()
    settings = Settings(rounds=arguments.rounds, quick=arguments.quick, without=frozenset(arguments.without))
    with venvs.alone():
        return run(arguments.scenarios or STORES.get(arguments.store, SCENARIOS), settings)


def run(names: Sequence[str], settings: Settings) -> int:
    """Measure the scenarios one after another."""
    machine = describe(venvs.home())
    if not set(STORES["postgres"]).isdisjoint(names):
        from bench.server import server

        machine |= server().describe()
    if not set(STORES["redis"]).isdisjoint(names):
        from bench.redisserver import redis_server

        machine |= redis_server().describe()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    failures = 0
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            measure(name, settings, machine)
        except BenchmarkError as error:
            failures += 1
            print(f"\n## {name}\nnot measured: {error}", flush=True)
    return min(failures, 1)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    made.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one of {', '.join(SCENARIOS)}; default: all")
    made.add_argument("--store", choices=STORES, help="all scenarios of one store")
    made.add_argument("--without", action="append", default=[], metavar="NAME", help="leave a side out: pg-boss, say")
    made.add_argument("--quick", action="store_true", help="smaller counts, for a look: not what the targets speak of")
    made.add_argument("--rounds", type=int, default=3, help="rounds of every comparison, medians of them (default 3)")
    return made


def measure(name: str, settings: Settings, machine: dict[str, object]) -> None:
    """Run one scenario, print its table and keep its record."""
    scenario = importlib.import_module(f"bench.scenarios.{name}")
    run: Callable[[Settings], Sequence[Row]] = scenario.run
    with watching() as foreign:
        rows = run(settings)
    print(f"\n## {name}\n{table(rows)}")
    if foreign.cores > BUSY_CORES:
        print(f"Other processes used {foreign.cores:.1f} cores meanwhile: compare the ratios only.")
    sys.stdout.flush()
    keep(name, settings, {**machine, "foreign_cores": round(foreign.cores, 2)}, rows)


def keep(name: str, settings: Settings, machine: dict[str, object], rows: Sequence[Row]) -> None:
    """Append the record of one scenario to the results."""
    record = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "scenario": name,
        "quick": settings.quick,
        "machine": machine,
        "rows": [row.record() for row in rows],
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(main())
