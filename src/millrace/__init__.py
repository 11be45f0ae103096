"""Durable background jobs for Python, kept in the store you already have.

The public names, each from the file of its noun. `Worker` is loaded when it is first asked for: a producer needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.app import Millrace
from millrace.context import JobContext, current_job
from millrace.errors import (
    ConfigurationError,
    DuplicateJob,
    InvalidTransition,
    JobFailed,
    JobNotFound,
    LeaseLost,
    MillraceError,
    NotSupported,
    PayloadError,
    ScheduleError,
    SchemaMismatch,
    StoreUnavailable,
    UnknownTask,
    WaitTimeout,
)
from millrace.job import Job, Progress
from millrace.newjob import NewJob
from millrace.records import Attempt, LogLine, Page, QueueInfo, WorkerInfo
from millrace.retry import Backoff
from millrace.signals import CancelJob, RetryAfter, SkipRetry, Snooze
from millrace.states import JobState, OutcomeKind, Reason
from millrace.task import AsyncTask, Task
from millrace.unique import Unique

if TYPE_CHECKING:
    from millrace.worker import Worker

__all__ = [
    "AsyncTask",
    "Attempt",
    "Backoff",
    "CancelJob",
    "ConfigurationError",
    "DuplicateJob",
    "InvalidTransition",
    "Job",
    "JobContext",
    "JobFailed",
    "JobNotFound",
    "JobState",
    "LeaseLost",
    "LogLine",
    "Millrace",
    "MillraceError",
    "NewJob",
    "NotSupported",
    "OutcomeKind",
    "Page",
    "PayloadError",
    "Progress",
    "QueueInfo",
    "Reason",
    "RetryAfter",
    "ScheduleError",
    "SchemaMismatch",
    "SkipRetry",
    "Snooze",
    "StoreUnavailable",
    "Task",
    "Unique",
    "UnknownTask",
    "WaitTimeout",
    "Worker",
    "WorkerInfo",
    "current_job",
]


def __getattr__(name: str) -> Any:
    """Load the worker when it is first asked for."""
    if name == "Worker":
        from millrace.worker import Worker

        return Worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
