"""Queues and their settings. Owns the table `queue`; what the settings mean to a claim stands in `claim.py`."""

from __future__ import annotations

from millrace.messages import QueueSettings, empty_counts
from millrace.records import QueueInfo
from millrace.stores.postgres.counting import count_by_queue
from millrace.stores.postgres.session import Session

__all__ = ["pause_queue", "read_queues", "write_queue"]

QUEUES = "select name, priority, paused, concurrency from {s}.queue"  # the whole of a small table
# Both by queue_pkey.
WRITE = """insert into {s}.queue as q (name, priority, paused, concurrency)
 values (%(name)b, %(priority)b, coalesce(%(paused)b::boolean, false), %(concurrency)b)
 on conflict (name) do update set priority = excluded.priority, concurrency = excluded.concurrency,
  paused = coalesce(%(paused)b::boolean, q.paused)"""
PAUSE = """insert into {s}.queue (name, paused) values (%(name)b, %(paused)b)
 on conflict (name) do update set paused = excluded.paused"""


def read_queues(session: Session) -> list[QueueInfo]:
    """Read every queue that has settings or jobs, by name."""
    counts = count_by_queue(session)
    settings = {name: rest for name, *rest in session.rows(QUEUES)}
    infos: list[QueueInfo] = []
    for name in sorted(settings.keys() | counts.keys()):
        priority, paused, concurrency = settings.get(name, (0, False, None))
        infos.append(QueueInfo(name, priority, paused, concurrency, counts.get(name) or empty_counts()))
    return infos


def write_queue(session: Session, name: str, settings: QueueSettings) -> None:
    """Write a queue's settings."""
    args = {
        "name": name,
        "priority": settings.priority,
        "paused": settings.paused,
        "concurrency": settings.concurrency,
    }
    session.execute(WRITE, args)


def pause_queue(session: Session, name: str, *, paused: bool) -> None:
    """Pause or resume a queue; other settings stay."""
    session.execute(PAUSE, {"name": name, "paused": paused})
