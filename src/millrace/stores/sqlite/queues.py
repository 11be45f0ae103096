"""Queues and their settings. Owns the table `queues`; what the settings mean to a claim stands in `turns.py`."""

from __future__ import annotations

from millrace.groups import Pace
from millrace.messages import QueueSettings, empty_counts
from millrace.records import QueueInfo
from millrace.stores.sqlite.counting import count_by_queue
from millrace.stores.sqlite.lanes import new_epoch
from millrace.stores.sqlite.session import Session

__all__ = ["pause_queue", "read_queues", "write_queue"]

QUEUES = "SELECT name, priority, paused, concurrency, rate_count, rate_per FROM {p}queues"  # the whole of a small table
# Both by the primary key of `queues`.
WRITE = """INSERT INTO {p}queues(name,priority,paused,concurrency,rate_count,rate_per)
 VALUES(?1,?2,coalesce(?3,0),?4,?5,?6)
 ON CONFLICT(name) DO UPDATE SET priority=?2, paused=coalesce(?3,paused), concurrency=?4, rate_count=?5, rate_per=?6"""
PAUSE = """INSERT INTO {p}queues(name,paused) VALUES(?1,?2) ON CONFLICT(name) DO UPDATE SET paused=?2"""


def read_queues(session: Session) -> list[QueueInfo]:
    """Read every queue that has settings or jobs, by name."""
    counts = count_by_queue(session)
    settings = {name: rest for name, *rest in session.rows(QUEUES)}
    infos: list[QueueInfo] = []
    for name in sorted(settings.keys() | {queue for queue, each in counts.items() if any(each.values())}):
        priority, paused, concurrency, count, per = settings.get(name, (0, 0, None, None, None))
        pace = None if count is None or per is None else Pace(count, per)
        infos.append(QueueInfo(name, priority, bool(paused), concurrency, counts.get(name) or empty_counts(), pace))
    return infos


def write_queue(session: Session, name: str, settings: QueueSettings) -> None:
    """Write a queue's settings within the open transaction."""
    paused = None if settings.paused is None else int(settings.paused)
    count, per = (None, None) if settings.rate is None else (settings.rate.count, settings.rate.per)
    session.execute(WRITE, (name, settings.priority, paused, settings.concurrency, count, per))
    new_epoch(session)


def pause_queue(session: Session, name: str, *, paused: bool) -> None:
    """Pause or resume a queue within the open transaction; other settings stay."""
    session.execute(PAUSE, (name, int(paused)))
    new_epoch(session)
