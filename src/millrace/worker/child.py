"""The child process of a worker, which runs handlers that must be killable: `python -m millrace.worker.child IN OUT`.

It runs one job after another on its main thread, so that SIGTERM can interrupt it. A thread of its own listens to the
parent; where the parent is gone the child ends at once, whatever it is doing. Only the parent talks to the store, but
for `complete(connection=)`, which goes through the handler's own connection.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextvars import copy_context
from inspect import iscoroutinefunction
from threading import Lock, Thread
from types import FrameType
from typing import Any, NoReturn

import msgspec

from millrace.context import CURRENT, JobContext
from millrace.errors import ConfigurationError, LeaseLost, NotSupported
from millrace.hooks import Around
from millrace.job import Job, JobRow, Progress
from millrace.outcome import Outcome, printable, shorten
from millrace.signals import CancelJob
from millrace.worker import capture, wire
from millrace.worker.joining import ajoined, joined
from millrace.worker.loader import find_task
from millrace.worker.plan import Plan
from millrace.worker.settle import HEEDING, error_outcome, value_outcome
from millrace.worker.telling import MAX_LINE_BYTES

__all__ = ["main"]

_TERMINATED = 128 + signal.SIGTERM


class Pipe:
    """The way to the parent."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        for descriptor in (incoming, outgoing):
            os.set_inheritable(descriptor, False)  # what a handler starts must not keep the parent waiting  # noqa: FBT003
        self._incoming = os.fdopen(incoming, "rb")
        self._outgoing = os.fdopen(outgoing, "wb", buffering=0)
        self._sending, self._asking = Lock(), Lock()
        self._answers: queue.SimpleQueue[wire.Answer] = queue.SimpleQueue()
        self.runs: queue.SimpleQueue[wire.Run | None] = queue.SimpleQueue()  #: None: the parent is gone

    def listen(self) -> None:
        """Take what the parent says, until it is gone."""
        for text in self._incoming:
            match wire.decode_to_child(text):
                case wire.Hello(path):
                    sys.path.extend(each for each in path if each not in sys.path)
                case wire.Run() as run:
                    self.runs.put(run)
                case wire.Answer() as answer:
                    self._answers.put(answer)
        self.runs.put(None)

    def tell(self, message: wire.FromChild) -> None:
        """Send a message."""
        data = memoryview(wire.encode(message) + b"\n")
        with self._sending:
            while data:
                data = data[self._outgoing.write(data) :]

    def ask(self, message: wire.Partial | wire.Extend) -> bool:
        """Send a message and wait for its answer: whether the lease is still held."""
        with self._asking:
            self.tell(message)
            return self._answers.get().held


class ChildAttempt:
    """The attempt in the child; what its handler sees, as `millrace.context.Running`."""

    def __init__(self, pipe: Pipe, row: JobRow, plan: Plan, host: Any, keeps: int | None) -> None:
        self.row = row
        self.keeps = keeps  #: from which level on lines of `logging` are kept; None: none are
        self.plan = plan
        self.stopped = False
        self._promised = False  # `complete` was called on a connection that is awaited, and has not been awaited
        self._pipe = pipe
        self._host = host
        self._context: JobContext | None = None

    @property
    def job(self) -> Job[Any]:
        """The job as it was claimed."""
        return Job(self.row, self._host)

    @property
    def context(self) -> JobContext:
        """The context of this attempt."""
        if self._context is None:
            self._context = JobContext(self)
        return self._context

    def stop_error(self) -> Exception | None:
        """Return what tells the handler to stop, or None while it may go on."""
        return CancelJob("the job was told to stop") if self.stopped else None

    def log(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Keep a log line; the parent sends it to `logging`."""
        try:
            plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(data, enc_hook=repr))
        except Exception:  # noqa: BLE001 - a value's own code may raise anything
            plain = {name: repr(value) for name, value in data.items()}
        self._pipe.tell(wire.Line(level, str(message), plain))

    def keep(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Keep a line that this process has sent to `logging` itself."""
        self._pipe.tell(wire.Line(level, shorten(printable(message), MAX_LINE_BYTES), data, kept=True))

    def progress(self, progress: Progress) -> None:
        """Tell how far the job is."""
        self._pipe.tell(wire.Progressed(progress))

    def partial(self, result: bytes) -> None:
        """Store a partial result."""
        self._pipe.ask(wire.Partial(result))

    def extend(self, seconds: float) -> None:
        """Let the lease last for so long from now.

        Raises:
            LeaseLost: It is another's.
        """
        if not self._pipe.ask(wire.Extend(seconds)):
            raise self._lost_error()

    def complete(self, result: bytes | None, connection: Any) -> None:
        """Write the success on the caller's own connection.

        Raises:
            LeaseLost: The claim is no longer this worker's.
            NotSupported: The store cannot do it, or cannot be found here.
        """
        held = joined(self._store()).finish_on(connection, self.row.worker or 0, self._success(result))
        self._completed(held)

    def acomplete(self, result: bytes | None, connection: Any) -> Coroutine[Any, Any, None]:
        """Write it on one that is awaited; until it has been, the attempt has not ended well."""
        self._promised = True
        return self._acomplete(result, connection)

    async def _acomplete(self, result: bytes | None, connection: Any) -> None:
        self._promised = False
        store = ajoined(self._store())
        self._completed(await store.afinish_on(connection, self.row.worker or 0, self._success(result)))

    def _store(self) -> Any:
        if self._host is None:
            raise NotSupported(f"the app of {self.row.task} is not among the names of its module; put it there")
        return self._host.store

    def _success(self, result: bytes | None) -> Outcome:
        return Outcome.completed(self.row, result, retention=self.plan.retention)

    def _completed(self, held: bool) -> None:  # noqa: FBT001 - the store's answer
        if not held:
            raise self._lost_error()
        self._pipe.tell(wire.Completed())

    def raise_if_promised(self) -> None:
        """Raise where the handler has returned, and what it completed was never awaited."""
        if self._promised:
            raise ConfigurationError("complete(connection=…) was called and never awaited; await it, then commit")

    def _lost_error(self) -> LeaseLost:
        return LeaseLost(f"claim {self.row.claim} of job {self.row.id.hex()} is no longer this worker's; stop the work")


class Child:
    """Runs the jobs that the parent sends."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.busy = False  #: whether there is a job
        self._attempt: ChildAttempt | None = None
        self._inside = False  # a sync handler runs, and may be interrupted
        self._task: asyncio.Task[Any] | None = None
        self._runner: asyncio.Runner | None = None
        self._known: dict[str, tuple[Plan, Any]] = {}

    def serve(self) -> None:
        """Run jobs until the parent is gone."""
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to handle
        own = os.getpid()
        while (run := self._pipe.runs.get()) is not None:
            self.busy = True
            ended = self._ended(run)
            if os.getpid() != own:
                os._exit(0)  # the handler forked, and its other half has come to its end here: the pipe is not its own
            self._attempt = None
            if run.measured:
                self._tell_counts(run.row.task)
            self._pipe.tell(ended)
            self.busy = False
        if self._runner is not None:
            self._runner.close()

    def _ended(self, run: wire.Run) -> wire.Unloadable | wire.Stopped | wire.Ended:
        """Run one attempt; return how it ended."""
        row = run.row
        try:
            plan, host = self._plan(run)
        except ConfigurationError as error:
            return wire.Unloadable(str(error))
        if row.options is not None:
            plan = plan.over(row.options)
        self._attempt = attempt = ChildAttempt(self._pipe, row, plan, host, run.log_level)
        try:
            value = self._call(attempt)
            attempt.raise_if_promised()
            outcome = value_outcome(row, plan, value)
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like have failed an attempt, and no more
            self._inside, self._task = False, None
            if attempt.stopped and isinstance(error, HEEDING):
                return wire.Stopped()
            outcome = error_outcome(row, plan, error)
        return wire.Ended(outcome)

    def _plan(self, run: wire.Run) -> tuple[Plan, Any]:
        known = self._known.get(run.row.task)
        if known is None:
            spec, host = find_task(run.row.task, (run.modules, run.file))
            known = self._known[run.row.task] = Plan(spec, arounds=_arounds(run, host)), host
            if run.measured and host is not None and host.meter is None:
                from millrace.metrics.meter import Meter

                host.measured_by(Meter())
        return known

    def _tell_counts(self, task: str) -> None:
        """Tell what the app of a task has counted here: the jobs that handlers enqueued, and calls of the store."""
        _, host = self._known.get(task, (None, None))
        counted = None if host is None or host.meter is None else host.meter.taken()
        if counted is not None:
            self._pipe.tell(wire.Counted(counted.encode()))

    def _call(self, attempt: ChildAttempt) -> Any:
        plan = attempt.plan
        args, kwargs = plan.decode(attempt.row.args)
        if plan.takes_context:
            args = (attempt.context, *args)
        context = copy_context()
        context.run(CURRENT.set, attempt)
        if iscoroutinefunction(plan.function):
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner.run(self._awaited(plan, args, kwargs), context=context)
        self._inside = True
        value = context.run(plan.function, *args, **kwargs)
        self._inside = False
        return value

    async def _awaited(self, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._task = asyncio.current_task()
        try:
            return await plan.function(*args, **kwargs)
        finally:
            self._task = None

    def _terminate(self, _: int, __: FrameType | None) -> None:
        """Pass SIGTERM on to the handler; without one, end."""
        if self._attempt is not None:
            self._attempt.stopped = True
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        elif self._inside:
            self._inside = False
            raise SystemExit(_TERMINATED)


def _arounds(run: wire.Run, host: Any) -> tuple[Around, ...]:
    """Return the middleware around attempts, which must be that of the parent: none may be left out.

    Raises:
        ConfigurationError: The parent has other middleware.
    """
    found: tuple[Around, ...] = () if host is None else host.hooks.arounds
    if len(found) != run.arounds and host is not None:
        host.load()
        found = host.hooks.arounds
    if len(found) != run.arounds:
        raise ConfigurationError(
            f"the worker runs {run.row.task} within {run.arounds} middlewares, its child process finds {len(found)}; "
            "register them in the module of the app or of the task, or in one that the app's imports name"
        )
    return found


def main(arguments: Sequence[str]) -> None:
    """Serve the parent over the two descriptors that the arguments name.

    Returns once the parent is gone.

    >>> main(["0"])
    Traceback (most recent call last):
    IndexError: list index out of range
    """
    os.environ[wire.CHILD_VARIABLE] = "1"
    pipe = Pipe(int(arguments[0]), int(arguments[1]))
    child = Child(pipe)

    def listen() -> None:
        pipe.listen()
        if child.busy:
            _leave()

    Thread(target=listen, name="millrace-parent", daemon=True).start()
    capture.begin()
    try:
        child.serve()
    except BrokenPipeError:  # the parent has gone while it was told something
        _leave()


def _leave() -> NoReturn:
    os._exit(0)  # the handler must not go on: nobody would know


if __name__ == "__main__":
    main(sys.argv[1:])
