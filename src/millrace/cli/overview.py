"""What `millrace top` shows, as plain records read from the store at one moment. Changes nothing, prints nothing.

The rate is what workers say that they have ended, between the two last signs of life that were seen of each: counts of
the store would not tell it, for ended jobs are deleted too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from millrace.cli.workers import ALIVE_SECONDS
from millrace.clock import SECOND, to_datetime
from millrace.ids import worker_name
from millrace.job import JobRow
from millrace.messages import JobFilter, Waiting
from millrace.records import QueueInfo, WorkerRow
from millrace.states import ACTIVE, WAITING, JobState
from millrace.store import MAX_PAGE

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["Failure", "Overview", "QueueView", "Running", "WorkerView", "read_overview"]

_FAILURES = 20  #: newest failures that are kept
_LOOKED_AT = 200  #: newest jobs that have failed, of which those are the last to fail


class QueueView(msgspec.Struct, frozen=True):
    """A queue: what waits in it and for how long, what runs, what comes later, what has died.

    >>> QueueView("mail", paused=False, waiting=2, oldest_seconds=3.0, running=0, later=0, dead=0).waiting
    2
    """

    name: str
    paused: bool
    waiting: int  #: due, and waiting for a worker
    oldest_seconds: float | None  #: for how long the oldest of them has been due
    running: int
    later: int  #: not due yet, retries included
    dead: int


class Running(msgspec.Struct, frozen=True):
    """A job that runs: which, and for how long by now.

    >>> Running("01a20f03-ba98-71c8-bf2d-fe9bd6462754", "add", 2.0).task
    'add'
    """

    id: str
    task: str
    seconds: float


class WorkerView(msgspec.Struct, frozen=True):
    """A worker that has reported itself, and what it runs, the longest first.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> WorkerView("00000000000000ff", "host:42", alive=True, slots=4, seen_at=at, rate=0.5, ended=9, running=[]).slots
    4
    """

    id: str
    name: str
    alive: bool
    slots: int | None
    seen_at: datetime  #: its last sign of life
    rate: float | None  #: attempts that it has ended a second of late; None where it does not say
    ended: int  #: attempts that it had ended at its last sign of life
    running: list[Running]


class Failure(msgspec.Struct, frozen=True):
    """A job whose last attempt has failed, dead or waiting for its next one.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> Failure("01a20f03-ba98-71c8-bf2d-fe9bd6462754", "add", "default", JobState.DEAD, at, "E: x").state.value
    'dead'
    """

    id: str
    task: str
    queue: str
    state: JobState
    at: datetime  #: when it died, or when its last try began where it waits for its next
    error: str | None


class Overview(msgspec.Struct, frozen=True):
    """All that is shown at one moment.

    >>> from millrace import Millrace
    >>> read_overview(Millrace("memory://")).workers
    []
    """

    at: datetime
    store: str
    counts: Mapping[JobState, int]
    waiting: int  #: due, and waiting for a worker
    oldest_seconds: float | None  #: for how long the oldest of them has been due
    rate: float  #: attempts ended a second of late, over all workers
    queues: list[QueueView]
    workers: list[WorkerView]
    failures: list[Failure]


def read_overview(app: Millrace, before: Overview | None = None) -> Overview:
    """Read what there is to show now.

    Args:
        app: Whose store is looked at.
        before: What was read last, from which rates are told; None: rates are since each worker's start.
    """
    store = app.store
    now = store.now()
    waiting = store.waiting(now=now)
    active, _ = store.page(JobFilter(states=ACTIVE), limit=MAX_PAGE)
    failed, _ = store.page(JobFilter(states=frozenset({JobState.FAILED, JobState.DEAD})), limit=_LOOKED_AT)
    workers = _workers(store.workers(), active, now, [] if before is None else before.workers)
    return Overview(
        at=to_datetime(now),
        store=store.url,
        counts=store.counts(exact=False),
        waiting=sum(each.number for each in waiting),
        oldest_seconds=_oldest(waiting, now),
        rate=sum(each.rate or 0.0 for each in workers if each.alive),
        queues=_queues(store.queues(), waiting, now),
        workers=workers,
        failures=_failures(failed),
    )


def _oldest(waiting: Sequence[Waiting], now: int) -> float | None:
    return max((_span(each.since, now) for each in waiting), default=None)


def _span(since: int, now: int) -> float:
    return max(now - since, 0) / SECOND


def _queues(queues: Sequence[QueueInfo], waiting: Sequence[Waiting], now: int) -> list[QueueView]:
    """Give the queues, those in which most waits first."""
    lanes: dict[str, list[Waiting]] = defaultdict(list)
    for each in waiting:
        lanes[each.queue].append(each)

    def number(queue: QueueInfo, *states: JobState) -> int:
        return sum(queue.counts.get(state, 0) for state in states)

    views = [
        QueueView(
            queue.name,
            paused=queue.paused,
            waiting=sum(each.number for each in lanes[queue.name]),
            oldest_seconds=_oldest(lanes[queue.name], now),
            running=number(queue, *ACTIVE),
            later=number(queue, *WAITING),
            dead=number(queue, JobState.DEAD),
        )
        for queue in queues
    ]
    return sorted(views, key=lambda each: (-each.waiting, -each.running, each.name))


def _workers(
    rows: Sequence[WorkerRow], active: Sequence[JobRow], now: int, before: Sequence[WorkerView]
) -> list[WorkerView]:
    jobs: dict[int, list[JobRow]] = defaultdict(list)
    for job in active:
        if job.worker is not None:
            jobs[job.worker].append(job)
    known = {each.id: each for each in before}
    return [_worker(row, jobs[row.id], now, known.get(worker_name(row.id))) for row in rows]


def _worker(row: WorkerRow, jobs: Sequence[JobRow], now: int, before: WorkerView | None) -> WorkerView:
    info: dict[str, Any] = msgspec.json.decode(row.info)
    told: Mapping[str, int] | None = info.get("ended")
    ended = sum(told.values()) if told else 0
    running = [Running(_id(job), job.task, _span(job.started or now, now)) for job in jobs]
    return WorkerView(
        worker_name(row.id),
        row.name,
        alive=_span(row.seen, now) < ALIVE_SECONDS,
        slots=info.get("concurrency"),
        seen_at=to_datetime(row.seen),
        rate=None if told is None else _rate(row, ended, before),
        ended=ended,
        running=sorted(running, key=lambda each: -each.seconds),
    )


def _rate(row: WorkerRow, ended: int, before: WorkerView | None) -> float:
    """Return what it has ended a second between its last two signs of life, or since its start."""
    if before is None or before.rate is None:
        return ended / max(_span(row.started, row.seen), 1.0)
    seconds = (to_datetime(row.seen) - before.seen_at).total_seconds()
    return (ended - before.ended) / seconds if seconds > 0 else before.rate


def _failures(rows: Sequence[JobRow]) -> list[Failure]:
    """Give the jobs that have failed last; of one that waits for its next try the last start stands for that."""
    last = sorted(rows, key=_failed_at, reverse=True)[:_FAILURES]
    return [Failure(_id(row), row.task, row.queue, row.state, to_datetime(_failed_at(row)), row.error) for row in last]


def _failed_at(row: JobRow) -> int:
    return row.finished or row.started or row.created


def _id(row: JobRow) -> str:
    return str(UUID(bytes=row.id))
