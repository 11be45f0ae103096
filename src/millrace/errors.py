"""The tree of errors. Owns their names and the facts they carry; decides nothing and does no I/O.

Every error of Millrace is a `MillraceError`. Where Python has a word for the same kind of trouble
(`ValueError`, `LookupError`, `TimeoutError`, `ConnectionError`) the error is that too, so code that
knows nothing of Millrace can still catch it. A message says the fact, the value and what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.job import Job

__all__ = [
    "ConfigurationError",
    "DuplicateJob",
    "InvalidTransition",
    "JobFailed",
    "JobNotFound",
    "LeaseLost",
    "MillraceError",
    "NotSupported",
    "PayloadError",
    "ScheduleError",
    "SchemaMismatch",
    "StoreUnavailable",
    "UnknownTask",
    "WaitTimeout",
]


class MillraceError(Exception):
    """The root of the tree: `except MillraceError` catches whatever Millrace raises on purpose.

    >>> issubclass(PayloadError, MillraceError)
    True
    """


class PayloadError(MillraceError, ValueError):
    """Arguments do not fit the task, or cannot be stored as JSON. Raised at `enqueue`; nothing was stored.

    >>> raise PayloadError("add(): missing argument 'b'")
    Traceback (most recent call last):
    millrace.errors.PayloadError: add(): missing argument 'b'
    """


class ConfigurationError(MillraceError, ValueError):
    """An option, a URL, a name or a time is not acceptable. Raised where it was given.

    A store raises it too that is there and refuses: the user, the password, the database, or what this user may not do.
    To try again does not help; somebody has to mend what the message names.

    >>> issubclass(ConfigurationError, ValueError)
    True
    """


class ScheduleError(MillraceError, ValueError):
    """A schedule cannot be understood, such as a cron line that never fires.

    >>> issubclass(ScheduleError, ValueError)
    True
    """


class JobNotFound(MillraceError, LookupError):
    """No job has this id in this store: it never existed, was deleted, or its retention has passed.

    >>> issubclass(JobNotFound, LookupError)
    True
    """


class UnknownTask(MillraceError, LookupError):
    """The app has no task of this name. The message lists names that come near.

    >>> issubclass(UnknownTask, LookupError)
    True
    """


class WaitTimeout(MillraceError, TimeoutError):
    """The job had not ended when the time to wait was over. It goes on; only the waiting stopped.

    >>> issubclass(WaitTimeout, TimeoutError)
    True
    """


class StoreUnavailable(MillraceError, ConnectionError):
    """The store cannot be reached or cannot be written now: locked, a standby, full, gone. It may pass by itself.

    Whether the operation took effect is unknown only where the message says so.

    >>> issubclass(StoreUnavailable, ConnectionError)
    True
    """


class JobFailed(MillraceError):
    """The job whose result was asked for ended dead or cancelled.

    Attributes:
        job: The job as it ended, with its `error` and `reason`.

    >>> issubclass(JobFailed, MillraceError)
    True
    """

    def __init__(self, message: str, job: Job[Any]) -> None:
        super().__init__(message)
        self.job = job

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.job)


class LeaseLost(MillraceError):
    """The claim is no longer the caller's: another worker has taken the job over, or it has ended.

    Nothing was written. Stop the work; never try the same write again.

    >>> issubclass(LeaseLost, MillraceError)
    True
    """


class DuplicateJob(MillraceError):
    """Another job holds the unique key.

    Attributes:
        job: The job that holds it, or None where it cannot be named.

    >>> issubclass(DuplicateJob, MillraceError)
    True
    """

    def __init__(self, message: str, job: Job[Any] | None = None) -> None:
        super().__init__(message)
        self.job = job

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.job)


class InvalidTransition(MillraceError):
    """The job's state does not allow the verb, such as `delete` while it runs. Nothing was changed.

    >>> issubclass(InvalidTransition, MillraceError)
    True
    """


class SchemaMismatch(MillraceError):
    """The store was written by a newer Millrace, or its tables are not Millrace's.

    >>> issubclass(SchemaMismatch, MillraceError)
    True
    """


class NotSupported(MillraceError):
    """This store cannot do what was asked. The message says which store can, or what to use instead.

    >>> issubclass(NotSupported, MillraceError)
    True
    """
