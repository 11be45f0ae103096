"""What a soak measures each second: processes, file or tables, latency. Owns reading and comparing; decides nothing."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg

from millrace import JobState, Millrace
from millrace.messages import JobFilter
from millrace.store import MAX_PAGE

__all__ = ["Gauges"]

SIZES = """select c.relname, pg_total_relation_size(c.oid) from pg_class c join pg_namespace n on n.oid = relnamespace
where n.nspname = 'millrace' and c.relkind = 'r'"""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DONE = JobFilter(states=frozenset({JobState.COMPLETED}))


@dataclass
class Gauges:
    """Figures by name, each with the second it was read at."""

    read: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict[str, list[tuple[float, float]]](list)
    )
    taken_over: set[bytes] = field(default_factory=set[bytes])  #: jobs seen that had lost a lease

    def note(self, name: str, at: float, value: float) -> None:
        """Keep one figure."""
        self.read[name].append((at, value))

    def look_at_process(self, who: str, pid: int, at: float) -> None:
        """Read a process's memory, threads and descriptors."""
        place = Path(f"/proc/{pid}")
        resident = int((place / "statm").read_text().split()[1]) * _PAGE
        self.note(f"{who}: memory, MB", at, resident / 1e6)
        self.note(f"{who}: threads", at, len(list((place / "task").iterdir())))
        self.note(f"{who}: descriptors", at, len(list((place / "fd").iterdir())))

    def look_at_file(self, path: Path, at: float) -> None:
        """Read how large the file and its log are."""
        for name in (path, path.with_name(path.name + "-wal")):
            self.note(f"{name.name}, MB", at, name.stat().st_size / 1e6 if name.exists() else 0.0)

    def look_at_tables(self, connection: psycopg.Connection[tuple[Any, ...]], at: float) -> None:
        """Read how large the tables of a server are, each with its indexes."""
        for name, size in connection.execute(SIZES):
            self.note(f"{name}, MB", at, size / 1e6)

    def look_at_latency(self, app: Millrace, at: float) -> None:
        """Read how long the newest completed jobs had waited, from enqueue to handler."""
        rows, _ = app.store.page(_DONE, limit=MAX_PAGE)
        self.taken_over |= {row.id for row in rows if row.crashes}
        waits = sorted(row.started - row.created for row in rows if row.started is not None)
        if len(waits) == MAX_PAGE:
            self.note("latency p95, ms", at, waits[len(waits) * 95 // 100] / 1e3)

    def compare(self, early: tuple[float, float], late: tuple[float, float]) -> dict[str, tuple[float, float]]:
        """Return each figure in two spans of time: its median, of latencies the lower quartile.

        A latency is worse whenever the machine has something else to do; what has really grown has so at its best too.
        """
        return {
            name: (_typical(name, figures, early), _typical(name, figures, late)) for name, figures in self.read.items()
        }


def _typical(name: str, figures: list[tuple[float, float]], span: tuple[float, float]) -> float:
    values = [value for at, value in figures if span[0] <= at < span[1]]
    return quantiles(values, n=4)[0 if name.startswith("latency") else 1]
