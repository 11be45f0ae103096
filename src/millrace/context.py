"""What a running handler is given: `JobContext`, and `current_job()` that finds it. Owns what handlers see of a job.

A context keeps nothing itself: it hands all on to the attempt that runs, which lives in the worker, or in its child
process. It must not know either.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Coroutine, Generator, Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Protocol, cast
from uuid import UUID

from millrace.checks import duration
from millrace.codec import encode_result
from millrace.connections import is_async
from millrace.errors import ConfigurationError
from millrace.job import Job, Progress
from millrace.outcome import error_record, printable

__all__ = ["CURRENT", "Completion", "JobContext", "JobLog", "Running", "current_job"]


class Running(Protocol):
    """An attempt under way, as far as its handler may see and steer it."""

    @property
    def job(self) -> Job[Any]:
        """The job as it was claimed."""
        ...

    @property
    def context(self) -> JobContext:
        """The context of this attempt, always the same one."""
        ...

    def stop_error(self) -> Exception | None:
        """Return what tells the handler to stop, or None while it may go on."""
        ...

    def log(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Keep a log line and send it to `logging`."""
        ...

    def progress(self, progress: Progress) -> None:
        """Store how far the job is."""
        ...

    def partial(self, result: bytes) -> None:
        """Store a partial result."""
        ...

    def extend(self, seconds: float) -> None:
        """Let the lease last for so long from now."""
        ...

    def complete(self, result: bytes | None, connection: Any) -> None:
        """Write the success on the caller's own connection."""
        ...

    def acomplete(self, result: bytes | None, connection: Any) -> Coroutine[Any, Any, None]:
        """Write it on one that must be awaited; it counts as called before it is awaited."""
        ...


class _Holder(Protocol):
    """What the variable holds: anything that can give the context when it is asked for."""

    @property
    def context(self) -> JobContext: ...

    @property
    def keeps(self) -> int | None:
        """From which level on lines of `logging` are kept; None: none are."""
        ...

    def keep(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Keep a log line, and send it nowhere else."""
        ...


CURRENT: ContextVar[_Holder | None] = ContextVar("millrace_current", default=None)


def current_job() -> JobContext:
    """Return the context of the job that runs here, in its handler and in all that the handler calls or awaits.

    A thread that the handler starts has none, unless it is run in a copy of the handler's `contextvars` context.

    Raises:
        ConfigurationError: No job runs here.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... def which() -> int:
    ...     return current_job().attempt
    >>> job = which.enqueue()
    >>> app.drain()[job.refresh().state], app.result(job)
    (1, 1)
    """
    holder = CURRENT.get()
    if holder is None:
        raise ConfigurationError("no job runs here; current_job() is for handlers while a worker or drain() runs them")
    return holder.context


class JobLog:
    """The log of one job: kept with it, by attempt, and sent to the logger `millrace.job`.

    Each method takes the message, arguments that are put into it with `%` as `logging` does, and values by name that
    are stored beside it. Message and values together are cut to 8 KiB.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... def parse(name: str) -> None:
    ...     current_job().log.info("parsed %s", name, lines=120)
    >>> job = parse.enqueue("a.csv")
    >>> app.drain()[job.refresh().state], app.logs(job)[0].message, app.logs(job)[0].data
    (1, 'parsed a.csv', {'lines': 120})
    """

    __slots__ = ("_running",)

    def __init__(self, running: Running) -> None:
        self._running = running

    def debug(self, message: str, *args: object, **data: Any) -> None:
        """Log what only its author will want to read."""
        self._running.log(logging.DEBUG, _filled(message, args), data)

    def info(self, message: str, *args: object, **data: Any) -> None:
        """Log what happens: `current_job().log.info("parsed %s", name, lines=120)`."""
        self._running.log(logging.INFO, _filled(message, args), data)

    def warning(self, message: str, *args: object, **data: Any) -> None:
        """Log what should not be, but does not stop the job."""
        self._running.log(logging.WARNING, _filled(message, args), data)

    def error(self, message: str, *args: object, **data: Any) -> None:
        """Log what went wrong."""
        self._running.log(logging.ERROR, _filled(message, args), data)

    def exception(self, message: str, *args: object, **data: Any) -> None:
        """Log what went wrong with the traceback of the exception that is being handled, at the level of an error.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> @app.task
        ... def parse(text: str) -> int:
        ...     try:
        ...         return int(text)
        ...     except ValueError:
        ...         current_job().log.exception("%s is no number", text)
        ...         return 0
        >>> job = parse.enqueue("x")
        >>> app.drain()[job.refresh().state], app.logs(job)[0].message.splitlines()[0]
        (1, 'x is no number')
        """
        text = _filled(message, args)
        error = sys.exception()
        if error is not None:
            record = error_record(error)
            text = f"{text}\n{record.traceback or record.text}"
        self._running.log(logging.ERROR, text, data)


def _filled(message: str, args: tuple[object, ...]) -> str:
    """Put arguments into a message; one that does not take them is told as it is: a log line must not fail a job."""
    if not args:
        return message
    only = args[0]
    try:
        return str(message) % (cast("object", only) if len(args) == 1 and only and isinstance(only, Mapping) else args)
    except Exception as error:  # noqa: BLE001 - an argument's own code may raise anything
        return f"{message} [its arguments do not fit: {error_record(error).text}]"


class JobContext:
    """The running job, as its handler sees it. Got by `current_job()`, or as a first parameter annotated `JobContext`.

    Usable from any thread while the attempt runs.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> @app.task
    ... def halve(context: JobContext, number: int) -> int:
    ...     context.log.info("halving", number=number)
    ...     return number // 2
    >>> job = halve.enqueue(8)
    >>> app.drain()[job.refresh().state], app.result(job), app.logs(job)[0].message
    (1, 4, 'halving')
    """

    __slots__ = ("_running", "log")

    def __init__(self, running: Running) -> None:
        self._running = running
        self.log = JobLog(running)  #: the job's log

    @property
    def job(self) -> Job[Any]:
        """The job as it was claimed; reading it does no I/O."""
        return self._running.job

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._running.job.attempt

    @property
    def batch(self) -> UUID | None:
        """The batch that the job belongs to, or None."""
        return self._running.job.batch

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: a cancel, a timeout, a lost lease, or a worker whose grace is over."""
        return self._running.stop_error() is not None

    def check_cancelled(self) -> None:
        """Raise where the handler should stop; the place to call it is a loop that can be left there.

        Raises:
            CancelJob: The job was cancelled, or the worker stops.
            TimeoutError: It has run past its timeout.
            LeaseLost: Another worker may have it now.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> @app.task
        ... def watch(context: JobContext) -> None:
        ...     app.cancel(context.job)  # somebody else would do that
        ...     while True:
        ...         context.check_cancelled()
        >>> job = watch.enqueue()
        >>> app.drain()[job.refresh().state], job.refresh().state.value
        (1, 'cancelled')
        """
        error = self._running.stop_error()
        if error is not None:
            raise error

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Tell how far the job is. Cheap to call often: at most some ten a second are stored, the newest always.

        Args:
            fraction: From 0 to 1.
            message: What is being done. Lone surrogates in it are escaped.

        Raises:
            ConfigurationError: The fraction is no number from 0 to 1, or the message no text.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> @app.task
        ... def parse(context: JobContext) -> str:
        ...     context.progress(0.4, "parsing")
        ...     return str(context.job.refresh().progress)
        >>> job = parse.enqueue()
        >>> app.drain()[job.refresh().state], app.result(job)
        (1, "Progress(fraction=0.4, message='parsing')")
        """
        given: Any = fraction  # a caller may pass anything
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0.0 <= fraction <= 1.0:
            raise ConfigurationError(f"progress {given!r} is not from 0 to 1; give 0.4 for 40 %")
        told: Any = message
        if told is not None and not isinstance(told, str):
            raise ConfigurationError(f"the message of progress {told!r} is no text; give a str, or leave it out")
        self._running.progress(Progress(float(fraction), None if message is None else printable(message)))

    def set_result(self, value: Any) -> None:
        """Store a partial result, seen at once; what the handler returns replaces it, but for None.

        Raises:
            PayloadError: The value has no form in JSON, or more than 1 MiB of it.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> @app.task
        ... def add_up(context: JobContext, numbers: list[int]) -> None:
        ...     for place in range(len(numbers)):
        ...         context.set_result({"sum": sum(numbers[: place + 1])})
        >>> job = add_up.enqueue([1, 2, 3])
        >>> app.drain()[job.refresh().state], app.result(job)
        (1, {'sum': 6})
        """
        self._running.partial(encode_result(value) or b"null")

    def extend(self, seconds: float | timedelta) -> None:
        """Let the lease last for `seconds` from now, before work during which the worker cannot extend it itself.

        Raises:
            LeaseLost: The lease is no longer this worker's; stop the work.

        >>> from millrace import Millrace
        >>> app = Millrace("memory://")
        >>> @app.task
        ... def convert(context: JobContext) -> bool:
        ...     context.extend(timedelta(minutes=10))  # before a call that holds the interpreter all the while
        ...     return context.job.refresh().lease_expires_at > context.job.lease_expires_at
        >>> job = convert.enqueue()
        >>> app.drain()[job.refresh().state], app.result(job)
        (1, True)
        """
        self._running.extend(duration("extend", seconds, positive=True))

    def complete(self, result: Any = None, *, connection: Any) -> Completion:
        """Complete the job in the handler's own transaction: its effects and its completion commit together or not.

        Nothing is committed here. Commit afterwards and return; what the handler returns then is not stored. Where the
        connection is an asynchronous one, await it: `await current_job().complete(result, connection=connection)`.

        Args:
            result: The job's result.
            connection: An open connection to the store's own database.

        Raises:
            LeaseLost: The claim is no longer this worker's; roll back.
            NotSupported: The store cannot do it, or the connection is not to its database.
            ConfigurationError: The connection is closed, another thread's, or commits each statement by itself.
            PayloadError: The result has no form in JSON.

        >>> import sqlite3
        >>> from tempfile import mkdtemp
        >>> from millrace import Millrace
        >>> file = f"{mkdtemp()}/shop.db"
        >>> app = Millrace(f"sqlite:///{file}")
        >>> @app.task
        ... def pay(context: JobContext, order: int) -> None:
        ...     connection = sqlite3.connect(file, isolation_level=None)
        ...     connection.execute("BEGIN IMMEDIATE")
        ...     connection.execute("CREATE TABLE paid AS SELECT ? AS order_id", [order])
        ...     context.complete({"paid": order}, connection=connection)
        ...     connection.execute("COMMIT")  # both, or neither
        >>> job = pay.enqueue(7)
        >>> app.drain()[job.refresh().state], app.result(job)
        (1, {'paid': 7})
        >>> app.close()
        """
        data = encode_result(result)
        if is_async(connection):
            return Completion(self._running.acomplete(data, connection))
        self._running.complete(data, connection)
        return Completion(None)


class Completion:
    """What `JobContext.complete` gives: done already, or on an asynchronous connection, to be awaited.

    >>> import asyncio
    >>> async def wait() -> None:
    ...     await Completion(None)
    >>> asyncio.run(wait())
    """

    __slots__ = ("_writing",)

    def __init__(self, writing: Coroutine[Any, Any, None] | None) -> None:
        self._writing = writing

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until the completion is written; where it is already, do nothing."""
        writing, self._writing = self._writing, None
        if writing is not None:
            yield from writing.__await__()
