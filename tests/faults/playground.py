"""A file with jobs in every state, the verbs that the failpoints try on it, and how to see what they did. No asserts.

Ids are names and times are given, so that a verb does the very same to every copy of the file: rows can be compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from millrace.conformance.bench import ANN, BEN, ENDINGS, ERROR, HOUR, LEASE, Bench
from millrace.job import JobRow, Progress
from millrace.messages import Beat, ClaimRequest, NewRow, QueueSettings
from millrace.outcome import Outcome
from millrace.records import LogRow
from millrace.states import CANCELLABLE, DELETABLE, FINAL, RESCHEDULABLE, RETRYABLE, JobState
from millrace.store import Store
from millrace.stores.sqlite import SQLiteStore
from millrace.testing.clock import ManualClock

__all__ = ["LATER", "VERBS", "Prepared", "build", "dump", "faults_of", "opened", "rescue_later", "work_on"]

START = 1_800_000_000 * 1_000_000
NOW = START + 10 * LEASE  #: the time of every verb: Ben's leases have passed, Ann's have not
LATER = NOW + 2 * HOUR  #: Ann's have passed too

RECOUNT = """SELECT lanes.id, completed=total(state=5) AND dead=total(state=6) AND cancelled=total(state=7)
 FROM millrace_lanes AS lanes LEFT JOIN millrace_jobs ON lane=lanes.id GROUP BY lanes.id"""
ORPHANS = "SELECT count(*) FROM millrace_{} WHERE job NOT IN (SELECT id FROM millrace_jobs)"
BESIDE = ("bodies", "results", "errors", "progress", "attempts", "logs", "tags")

Prepared = Callable[[], object]  #: the verb itself, with all that it needs to know looked up


def named(name: str) -> bytes:
    """Make an id of a name."""
    return name.encode().ljust(16, b".")


def ids(kind: str, number: int) -> list[bytes]:
    """The first ids of one kind."""
    return [named(f"{kind}-{n}") for n in range(number)]


def opened(path: Path, deadline: float = 10.0) -> SQLiteStore:
    """Open a store on a file, with its connections, at a time that stands still."""
    store = SQLiteStore(path, synchronous="normal", deadline=deadline, reserve=False, clock=ManualClock(NOW))
    store.migrate()
    store.depth()
    return store


def build(path: Path) -> None:
    """Make the file."""
    clock = ManualClock(START)
    with closing(SQLiteStore(path, synchronous="normal", clock=clock)) as store:
        bench = Bench(store, clock)
        _claimed(bench, ids("old", 9), BEN, LEASE, max_crashes=1)
        for n, state in enumerate(("completed", "failed", "dead", "cancelled") * 2):
            bench.finish(BEN, ENDINGS[state](bench.job(named(f"old-{n}"))))
        for n in range(6):
            _claimed(bench, [named(f"gone-{n}")], BEN, LEASE, max_crashes=1 + n % 2, tags=("t",))
        store.cancel(ids("gone", 2), CANCELLABLE, retention=None)
        _claimed(bench, ids("mine", 9), ANN, HOUR, tags=("t", "u"), unique_key="key")
        store.cancel([named("mine-8")], CANCELLABLE, retention=None)
        for n in range(3):
            store.set_queue(f"q{n}", QueueSettings(priority=n))  # queues of equal priority would take turns by chance
        for n, id in enumerate(ids("new", 8)):
            bench.add(id=id, queue=f"q{n % 3}", priority=n % 2, args=b'"' + b"x" * (n % 2 * 3000) + b'"', tags=("t",))
        bench.add(id=named("soon-0"), delay=LEASE)
        bench.add(id=named("then-0"), delay=9 * HOUR)


def _claimed(bench: Bench, fresh: list[bytes], worker: int, lease: int, **fields: object) -> None:
    for id in fresh:
        key = {"unique_key": f"key-{id.decode()}"} if "unique_key" in fields else {}
        bench.add(id=id, queue="claimed", **{**fields, **key})
    bench.claim(worker, lease=lease, queues=("claimed",))


def _jobs(store: Store, wanted: list[bytes]) -> list[JobRow]:
    return [row for row in store.get(wanted) if row is not None]


def _rows() -> list[NewRow]:
    return [
        NewRow(id=named("in-0"), task="work", queue="default", args=b"{}"),
        NewRow(id=named("in-1"), task="work", queue="elsewhere", args=b'"' + b"y" * 3000 + b'"', tags=("t", "v")),
        NewRow(id=named("in-2"), task="work", queue="default", args=b"{}", unique_key="key-mine-1......"),
        NewRow(id=named("in-3"), task="other", queue="default", args=b"{}", delay=HOUR, unique_key="key-in"),
    ]


def _finish_plain(store: Store) -> Prepared:
    ends = [Outcome.completed(row, b'"fine"', retention=HOUR) for row in _jobs(store, ids("mine", 6))]
    return lambda: store.step(ANN, ends, (), now=NOW)


def _mixed(store: Store) -> list[Outcome]:
    ways: list[Callable[[JobRow], Outcome]] = [
        *ENDINGS.values(),
        lambda row: Outcome.completed(row, b"1", retention=0),
        lambda row: Outcome.failed(row, ERROR, delay=HOUR, retention=HOUR),  # a cancel was asked for: it wins
        ENDINGS["completed"],  # not Ann's
    ]
    rows = store.get([*ids("mine", 9), named("gone-5")])
    return [way(row) for row, way in zip(rows, ways, strict=True) if row is not None]


def _finish_mixed(store: Store) -> Prepared:
    ends = _mixed(store)
    return lambda: store.step(ANN, ends, (), now=NOW)


def _claim(store: Store) -> Prepared:
    return lambda: store.step(ANN, (), [ClaimRequest(5, lease=HOUR)], now=NOW)


def _step(store: Store) -> Prepared:
    ends = _mixed(store)
    requests = [ClaimRequest(2, queues=("q0", "q1"), lease=HOUR), ClaimRequest(3, lease=HOUR)]
    return lambda: store.step(ANN, ends, requests, now=NOW)


def _extend(store: Store) -> Prepared:
    rows = _jobs(store, [*ids("mine", 4), named("gone-4"), named("mine-8")])
    beats = [Beat(row.ref, row.id, row.claim, 3 * HOUR, Progress(0.5, "half"), b"[1]") for row in rows]
    return lambda: store.extend(ANN, beats, now=NOW)


def _log(store: Store) -> Prepared:
    lines = [LogRow(row.ref, row.id, row.claim, NOW, 20, "a line") for row in _jobs(store, ids("mine", 3))]
    return lambda: store.log(ANN, lines)


def rescue_later(store: Store) -> object:
    """Take back every lease there is."""
    return store.rescue(retention=HOUR, dead_retention=HOUR, now=LATER)


#: Every verb that writes: given a store, it looks up what it needs and returns the call that is tried.
VERBS: Mapping[str, Callable[[Store], Prepared]] = {
    "insert": lambda store: lambda: store.insert(_rows(), now=NOW),
    "finish plain": _finish_plain,
    "finish mixed": _finish_mixed,
    "claim": _claim,
    "finish and claim": _step,
    "extend": _extend,
    "log": _log,
    "rescue": lambda store: lambda: store.rescue(retention=HOUR, dead_retention=HOUR, now=NOW),
    "promote": lambda store: lambda: store.promote(now=NOW),
    "cancel": lambda store: (
        lambda: store.cancel(
            [*ids("new", 4), *ids("mine", 3), named("old-1"), named("then-0")], CANCELLABLE, retention=HOUR, now=NOW
        )
    ),
    "retry": lambda store: lambda: store.retry(ids("old", 8), RETRYABLE, args=b"[1]", now=NOW),
    "reschedule": lambda store: (
        lambda: store.reschedule([*ids("new", 4), named("old-1")], RESCHEDULABLE, due=LATER, now=NOW)
    ),
    "delete": lambda store: lambda: store.delete([*ids("new", 4), *ids("old", 4)], DELETABLE),
    "expire": lambda store: lambda: store.expire(now=LATER),
    "purge": lambda store: lambda: store.purge(LATER, FINAL),
}


# -- looking


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Read every row of every table, without what is left to chance: the epoch, and the numbers of new lanes."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type='table' AND name LIKE 'millrace_%'")
        found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables.fetchall()}  # noqa: S608
    lanes = {number: names for number, *names in found["millrace_lanes"]}
    found["millrace_lanes"] = [row[1:] for row in found["millrace_lanes"]]
    found["millrace_jobs"] = [(*row[:2], lanes[row[2]], *row[3:]) for row in found["millrace_jobs"]]
    found["millrace_meta"] = [row for row in found["millrace_meta"] if row[0] != "epoch"]
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def faults_of(path: Path) -> list[str]:
    """Look for damage, counters that do not equal a recount, and rows that belong to no job."""
    with closing(sqlite3.connect(path)) as connection:
        checked = connection.execute("PRAGMA quick_check").fetchall()
        faults = [f"quick_check says {checked}"] if checked != [("ok",)] else []
        faults += [f"lane {lane} is miscounted" for lane, right in connection.execute(RECOUNT) if not right]
        faults += [table for table in BESIDE if connection.execute(ORPHANS.format(table)).fetchone() != (0,)]
    return faults


def work_on(store: Store) -> int:
    """Let work go on: take every lease back, claim all there is and complete it; return how many were completed."""
    rescue_later(store)
    rows = store.step(BEN, (), [ClaimRequest(1000, lease=HOUR)], now=LATER).claimed
    ends = [Outcome.completed(row, None, retention=HOUR) for row in rows]
    lost = store.step(BEN, ends, (), now=LATER).lost
    return len(ends) - len(lost) if store.counts()[JobState.PENDING] == 0 else -1
