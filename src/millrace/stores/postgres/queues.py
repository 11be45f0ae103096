"""Queues and their settings. Owns the table `queue`; what the settings mean to a claim stands in `claim.py`."""

from __future__ import annotations

from typing import Any

import psycopg

from millrace.groups import Pace
from millrace.messages import QueueSettings, empty_counts
from millrace.records import QueueInfo
from millrace.stores.postgres.counting import count_by_queue
from millrace.stores.postgres.session import Session

__all__ = ["pause_queue", "read_queues", "write_queue"]

# The whole of a small table. A `concurrency` below 0 says that the queue has a rate, or jobs with limits of their own,
# see `limited.py`; what was asked for is then in `at_once`.
QUEUES = """select name, priority, paused, case when concurrency < 0 then at_once else concurrency end, rate_count,
 rate_per from {s}.queue"""
_NO_COLUMN = "42703"
QUEUES_1 = "select name, priority, paused, concurrency, null, null from {s}.queue"  # of version 1
# All by queue_pkey.
WRITE = """insert into {s}.queue as q (name, priority, paused, concurrency, at_once, rate_count, rate_per)
 values (%(name)b, %(priority)b, coalesce(%(paused)b::boolean, false),
  case when %(count)b::integer is null then %(concurrency)b else -1 end, %(concurrency)b, %(count)b, %(per)b)
 on conflict (name) do update set priority = excluded.priority,
  concurrency = case when q.grouped then -1 else excluded.concurrency end, at_once = excluded.at_once,
  rate_count = excluded.rate_count, rate_per = excluded.rate_per, paused = coalesce(%(paused)b::boolean, q.paused)"""
WRITE_1 = """insert into {s}.queue as q (name, priority, paused, concurrency)
 values (%(name)b, %(priority)b, coalesce(%(paused)b::boolean, false), %(concurrency)b)
 on conflict (name) do update set priority = excluded.priority, concurrency = excluded.concurrency,
  paused = coalesce(%(paused)b::boolean, q.paused)"""
PAUSE = """insert into {s}.queue (name, paused) values (%(name)b, %(paused)b)
 on conflict (name) do update set paused = excluded.paused"""


def read_queues(session: Session) -> list[QueueInfo]:
    """Read every queue that has settings or jobs, by name."""
    counts = count_by_queue(session)
    settings = {name: rest for name, *rest in _read(session)}
    infos: list[QueueInfo] = []
    for name in sorted(settings.keys() | counts.keys()):
        priority, paused, concurrency, count, per = settings.get(name, (0, False, None, None, None))
        pace = None if count is None or per is None else Pace(count, per)
        infos.append(QueueInfo(name, priority, paused, concurrency, counts.get(name) or empty_counts(), pace))
    return infos


def _read(session: Session) -> list[Any]:
    """Read the table of this version, or of the one before."""
    try:
        return session.rows(QUEUES)
    except psycopg.Error as error:
        if error.sqlstate != _NO_COLUMN:
            raise
        return session.rows(QUEUES_1)


def write_queue(session: Session, name: str, settings: QueueSettings) -> None:
    """Write a queue's settings."""
    rate = settings.rate
    args = {
        "name": name,
        "priority": settings.priority,
        "paused": settings.paused,
        "concurrency": settings.concurrency,
    }
    try:
        session.execute(WRITE, args | {"count": None if rate is None else rate.count, "per": rate and rate.per})
    except psycopg.Error as error:
        if error.sqlstate != _NO_COLUMN or rate is not None:
            raise
        session.execute(WRITE_1, args)


def pause_queue(session: Session, name: str, *, paused: bool) -> None:
    """Pause or resume a queue; other settings stay."""
    session.execute(PAUSE, {"name": name, "paused": paused})
