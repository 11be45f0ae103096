"""One store copied into another. Owns what is copied and as what, what is refused, and the order; prints nothing.

Both stores are walked by keyset and written by page, so memory stays small, a stop in between costs nothing, and a
second run copies only what is missing. No job of the source is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from millrace.cli.output import plural
from millrace.clock import SECOND
from millrace.errors import ConfigurationError, NotSupported
from millrace.ids import new_id
from millrace.messages import JobFilter, QueueSettings
from millrace.records import QueueInfo
from millrace.scheduling import Scheduling
from millrace.states import ACTIVE, JobState
from millrace.store import MAX_PAGE, Store
from millrace.transfer import MAX_WHOLE, Transfer, WholeJob

__all__ = [
    "Copied",
    "copy_jobs",
    "copy_queues",
    "copy_schedules",
    "refuse_absent",
    "refuse_same",
    "refuse_strangers",
    "transferable",
]

_MOMENT = 60 * SECOND
_FIRST_PAGE = 50  #: jobs, until it is known what they weigh
_HEAVY = 16 << 20  #: bytes in one restore, which has to end within the store's deadline
_SOURCE, _TARGET = 1, 2  # holders of a lock


class Copied:
    """What a copy has done so far.

    Attributes:
        states: Jobs copied, by the state that they have in the target.
        there: Jobs that were in the target before.
        returned: Of the copied, those that ran in the source.
        cancelling: Of these, those that had been asked to cancel.
        held: Jobs left out, because a live job of the target holds their unique key.
        queues: Queues whose settings were copied.
        schedules: Schedules that were copied.
        kept: Queues whose settings in the target differ, and stay.
    """

    def __init__(self) -> None:
        self.states = Counter[JobState]()
        self.there = self.returned = self.cancelling = 0
        self.held: list[UUID] = []
        self.queues: list[str] = []
        self.schedules: list[str] = []
        self.kept: list[str] = []

    @property
    def jobs(self) -> int:
        """How many jobs were copied."""
        return self.states.total()

    @property
    def seen(self) -> int:
        """How many jobs of the source were looked at."""
        return self.jobs + self.there + len(self.held)


def transferable(store: Store) -> Transfer:
    """Return a store as one that gives and takes whole jobs.

    Raises:
        NotSupported: It does not.
    """
    if isinstance(store, Transfer):
        return store
    raise NotSupported(
        f"{store.url} cannot be copied from or to: its store has no export and restore (millrace.transfer.Transfer)"
    )


def refuse_absent(source: Transfer, url: str) -> None:
    """Refuse a source that has not been made: its name was mistyped, and to look into it would make an empty one.

    Raises:
        ConfigurationError: It has not, or cannot be.

    >>> from millrace.stores import SQLiteStore
    >>> refuse_absent(SQLiteStore("mistyped.db"), "sqlite:///mistyped.db")
    Traceback (most recent call last):
    millrace.errors.ConfigurationError: sqlite:///mistyped.db does not exist; name the store to copy from
    """
    if not source.exists():
        raise ConfigurationError(f"{url} does not exist; name the store to copy from")


def refuse_same(source: Store, target: Store) -> None:
    """Refuse two names of one store: a lock taken in the source must be free in the target.

    Raises:
        ConfigurationError: They are the same.

    >>> from millrace.stores import MemoryStore
    >>> refuse_same(MemoryStore("one"), MemoryStore("one"))
    Traceback (most recent call last):
    millrace.errors.ConfigurationError: memory://one and memory://one are the same store; name another one to copy to
    """
    lock = f"copy-{new_id().hex()}"
    source.acquire(lock, _SOURCE, _MOMENT)
    try:
        free = target.acquire(lock, _TARGET, _MOMENT)
        target.release(lock, _TARGET)
    finally:
        source.release(lock, _SOURCE)
    if not free:
        raise ConfigurationError(f"{source.url} and {target.url} are the same store; name another one to copy to")


def refuse_strangers(source: Store, target: Store) -> None:
    """Refuse a target that holds jobs which the source has not: somebody else's, or enqueued there meanwhile.

    Raises:
        ConfigurationError: It does.
    """
    strange = 0
    example = ""
    for ids in _ids(target):
        for id, row in zip(ids, source.get(ids), strict=True):
            if row is None:
                strange += 1
                example = example or str(UUID(bytes=id))
    if strange:
        raise ConfigurationError(
            f"{target.url} holds {plural(strange, 'job')} that {source.url} has not, such as {example}; name an empty "
            "store, or say --merge to copy beside them"
        )


def _ids(store: Store) -> Iterator[list[bytes]]:
    cursor: str | None = None
    while True:
        ids, cursor = store.select(JobFilter(), limit=MAX_PAGE, cursor=cursor)
        yield ids
        if cursor is None:
            return


def copy_queues(source: Store, target: Store, copied: Copied) -> None:
    """Copy the settings of queues, before any job: a paused queue must be paused when its jobs arrive.

    Settings that the target has already stay as they are.
    """
    known = {queue.name: _settings(queue) for queue in target.queues()}
    for queue in source.queues():
        settings = _settings(queue)
        there = known.get(queue.name, _DEFAULTS)
        if settings in (_DEFAULTS, there):
            continue
        if there == _DEFAULTS:
            target.set_queue(queue.name, settings)
            copied.queues.append(queue.name)
        else:
            copied.kept.append(queue.name)


def _settings(queue: QueueInfo) -> QueueSettings:
    return QueueSettings(queue.priority, queue.concurrency, queue.paused, queue.pace)


_DEFAULTS = _settings(QueueInfo(""))


def copy_schedules(source: object, target: object, copied: Copied) -> None:
    """Copy schedules with what has been seen to of their ticks; those that the target has already stay as they are."""
    if isinstance(source, Scheduling) and isinstance(target, Scheduling):
        for row in source.schedules():
            if target.put_schedule(msgspec.structs.replace(row, rev=0)):
                copied.schedules.append(row.name)


def copy_jobs(source: Transfer, target: Transfer, copied: Copied) -> Iterator[Copied]:
    """Copy jobs page by page, oldest first; yields after each part of a page, which is then kept."""
    cursor: str | None = None
    limit = _FIRST_PAGE
    while True:
        jobs, cursor = source.export(limit=limit, cursor=cursor)
        for part in _parts(jobs):
            _copy_part(target, part, copied)
            yield copied
        if cursor is None:
            return
        limit = _next_limit(limit, jobs)


def _parts(jobs: Sequence[WholeJob]) -> Iterator[Sequence[WholeJob]]:
    """Cut a page into parts that are not too heavy; a job that is so by itself is a part of its own."""
    start = total = 0
    for place, job in enumerate(jobs):
        weight = _weight(job)
        if total and total + weight > _HEAVY:
            yield jobs[start:place]
            start, total = place, 0
        total += weight
    if start < len(jobs):
        yield jobs[start:]


def _next_limit(limit: int, jobs: Sequence[WholeJob]) -> int:
    """Return how many jobs the next page may hold: twice as many, unless such as these would be too heavy."""
    weight = sum(map(_weight, jobs)) // max(len(jobs), 1)
    return max(min(2 * limit, _HEAVY // max(weight, 1), MAX_WHOLE), 1)


def _weight(job: WholeJob) -> int:
    """Return about how many bytes a job has that may be many."""
    row = job.row
    texts = (row.args, row.result, *(each.traceback for each in job.attempts))
    return sum(len(text) for text in texts if text is not None) + sum(
        len(line.message) + len(line.data or b"") for line in job.logs
    )


def _copy_part(target: Transfer, jobs: Sequence[WholeJob], copied: Copied) -> None:
    settled = [_settled(job) for job in jobs]
    answer = target.restore(settled)
    copied.there += len(answer.there)
    for index, (before, after) in enumerate(zip(jobs, settled, strict=True)):
        if index in answer.held:
            copied.held.append(UUID(bytes=after.row.id))
        elif index not in answer.there:
            copied.states[after.row.state] += 1
            copied.returned += before.row.state in ACTIVE
            copied.cancelling += before.row.state is JobState.CANCELLING


def _settled(job: WholeJob) -> WholeJob:
    """Give back what runs: its worker is one of the source's, and can never finish it in the target."""
    row = job.row
    if row.state not in ACTIVE:
        return job
    given_back = msgspec.structs.replace(
        row, state=JobState.PENDING, attempt=max(row.attempt - 1, 0), lease=None, rev=row.rev + 1
    )
    return msgspec.structs.replace(job, row=given_back)
