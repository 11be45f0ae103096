"""Durable background jobs for Python, kept in the store you already have.

The public names, each from the file of its noun, loaded when it is first asked for: the command line, which loads this
package too, need not wait for what it does not use, and a producer needs no worker.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from millrace.limits import Limit, Rate
    from millrace.middleware import Middleware
    from millrace.newjob import NewJob
    from millrace.records import Attempt, LogLine, Page, QueueInfo, WorkerInfo
    from millrace.retry import Backoff
    from millrace.signals import CancelJob, RetryAfter, SkipRetry, Snooze
    from millrace.states import JobState, OutcomeKind, Reason
    from millrace.task import AsyncTask, Task
    from millrace.unique import Unique
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
    "Limit",
    "LogLine",
    "Middleware",
    "Millrace",
    "MillraceError",
    "NewJob",
    "NotSupported",
    "OutcomeKind",
    "Page",
    "PayloadError",
    "Progress",
    "QueueInfo",
    "Rate",
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

_HOMES = {
    "AsyncTask": "millrace.task",
    "Attempt": "millrace.records",
    "Backoff": "millrace.retry",
    "CancelJob": "millrace.signals",
    "ConfigurationError": "millrace.errors",
    "DuplicateJob": "millrace.errors",
    "InvalidTransition": "millrace.errors",
    "Job": "millrace.job",
    "JobContext": "millrace.context",
    "JobFailed": "millrace.errors",
    "JobNotFound": "millrace.errors",
    "JobState": "millrace.states",
    "LeaseLost": "millrace.errors",
    "Limit": "millrace.limits",
    "LogLine": "millrace.records",
    "Middleware": "millrace.middleware",
    "Millrace": "millrace.app",
    "MillraceError": "millrace.errors",
    "NewJob": "millrace.newjob",
    "NotSupported": "millrace.errors",
    "OutcomeKind": "millrace.states",
    "Page": "millrace.records",
    "PayloadError": "millrace.errors",
    "Progress": "millrace.job",
    "QueueInfo": "millrace.records",
    "Rate": "millrace.limits",
    "Reason": "millrace.states",
    "RetryAfter": "millrace.signals",
    "ScheduleError": "millrace.errors",
    "SchemaMismatch": "millrace.errors",
    "SkipRetry": "millrace.signals",
    "Snooze": "millrace.signals",
    "StoreUnavailable": "millrace.errors",
    "Task": "millrace.task",
    "Unique": "millrace.unique",
    "UnknownTask": "millrace.errors",
    "WaitTimeout": "millrace.errors",
    "Worker": "millrace.worker",
    "WorkerInfo": "millrace.records",
    "current_job": "millrace.context",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, and keep it."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    """Name what there is, loaded or not."""
    return sorted({*globals(), *__all__})
