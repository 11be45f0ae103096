"""`millrace workers`: who has reported itself. Owns the list's columns; the register is the store's."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from millrace.cli.command import command, json_option, url_option, words
from millrace.cli.output import Column, say, say_json, table, width
from millrace.cli.record import worker_record
from millrace.cli.target import opened, split_words
from millrace.cli.times import ago
from millrace.clock import micros, to_datetime
from millrace.records import WorkerInfo, WorkerRow
from millrace.store import Store

__all__ = ["ALIVE_SECONDS", "living_workers", "workers", "workers_table"]

ALIVE_SECONDS = 30.0  #: a worker that has given no sign of life for so long counts as gone; they do every ten
_COLUMNS = (
    Column("WORKER", rank=2),
    Column("NAME", least=12),
    Column("STATUS"),
    Column("QUEUES", least=8),
    Column("SLOTS", right=True),
    Column("TASKS", rank=3, least=12),
    Column("UP", right=True),
    Column("SEEN", right=True),
)


@command(
    "workers",
    examples="""\
millrace workers tasks:app
millrace workers --url sqlite:///jobs.db --json""",
)
@words("[APP]")
@url_option
@json_option
def workers(words: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """List the workers that have reported themselves to the store, and when each was last seen."""
    where, _ = split_words(words, url, least=0, most=0)
    with opened(where, url) as app:
        found = app.workers()
        if as_json:
            living = {each.id for each in living_workers(app.store)}
            say_json([worker_record(each) | {"alive": int(each.id, 16) in living} for each in found])
        elif not found:
            say(f"no worker reports to {app.store.url}; start one with millrace worker APP")
        else:
            for line in workers_table(found, to_datetime(app.store.now()), width()):
                say(line)


def living_workers(store: Store) -> list[WorkerRow]:
    """Return the entries of workers that have given a sign of life of late.

    >>> from millrace.stores import MemoryStore
    >>> living_workers(MemoryStore())
    []
    """
    return store.workers(seen_after=store.now() - micros(ALIVE_SECONDS))


def workers_table(found: list[WorkerInfo], now: datetime, room: int | None) -> list[str]:
    """Lay out workers, in `room` cells where that is given.

    >>> import click
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> info = {"queues": ["mail"], "concurrency": 4}
    >>> line = workers_table([WorkerInfo("00000000000000ff", "host:42", at, at, info)], at, None)[1]
    >>> click.unstyle(line).split()
    ['00000000000000ff', 'host:42', 'alive', 'mail', '4', '0s', '0s']
    """
    return table(_COLUMNS, [_cells(each, now) for each in found], room)


def _cells(worker: WorkerInfo, now: datetime) -> tuple[str, ...]:
    return (
        worker.id,
        worker.name,
        "alive" if (now - worker.seen_at).total_seconds() < ALIVE_SECONDS else "gone",
        _names(worker.info.get("queues"), "all"),
        str(worker.info.get("concurrency", "")),
        _names(worker.info.get("tasks"), ""),
        ago(worker.started_at, now),
        ago(worker.seen_at, now),
    )


def _names(value: object, absent: str) -> str:
    return ",".join(map(str, cast("list[object]", value))) if isinstance(value, (list, tuple)) else absent
