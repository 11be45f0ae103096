"""What `--json` tells of jobs, queues and workers: plain values by the names of the Python API."""

from __future__ import annotations

from typing import Any

import msgspec

from millrace.job import Job
from millrace.records import QueueInfo, WorkerInfo

__all__ = ["job_record", "plain", "queue_record", "worker_record"]

_FIELDS = (
    "id",
    "task",
    "queue",
    "args",
    "state",
    "reason",
    "priority",
    "attempt",
    "max_attempts",
    "crashes",
    "max_crashes",
    "claim",
    "created_at",
    "scheduled_at",
    "started_at",
    "finished_at",
    "lease_expires_at",
    "worker",
    "unique_key",
    "tags",
    "progress",
    "result",
    "error",
    "batch",
)


def job_record(job: Job[Any]) -> dict[str, Any]:
    """Give every attribute of a job by its name.

    >>> from millrace.job import JobRow
    >>> job_record(Job(JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b'{"a":2}')))["args"]
    {'a': 2}
    """
    return {name: getattr(job, name) for name in _FIELDS}


def queue_record(queue: QueueInfo) -> dict[str, Any]:
    """Give a queue with its counts by the states' names.

    >>> queue_record(QueueInfo("mail"))["paused"]
    False
    """
    record = plain(queue)
    del record["pace"]
    return record | {"rate": queue.rate}


def worker_record(worker: WorkerInfo) -> dict[str, Any]:
    """Give a worker, what it says of itself included.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> worker_record(WorkerInfo("00000000000000ff", "host:42", at, at, {"pid": 42}))["info"]
    {'pid': 42}
    """
    return plain(worker)


def plain(record: msgspec.Struct) -> dict[str, Any]:
    """Give a record's fields by name, as values that JSON has.

    >>> plain(QueueInfo("mail"))["name"]
    'mail'
    """
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields
