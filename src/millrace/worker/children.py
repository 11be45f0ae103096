"""The runner of handlers that must be killable: threads that each have a child process. Owns the children.

A hand hands its job to its child and waits. Told to stop, it sends SIGTERM, and where that does not end the handler in
time, SIGKILL. A child that dies costs its own job a try, and the next job gets a new one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from threading import Lock

from millrace.errors import ConfigurationError, MillraceError
from millrace.outcome import Outcome
from millrace.worker import wire
from millrace.worker.attempt import Attempt, Told
from millrace.worker.floor import Floor
from millrace.worker.lane import Bay
from millrace.worker.loader import Homes, homes_of
from millrace.worker.settle import raised, reported
from millrace.worker.threads import Hand

__all__ = ["ChildDied", "ChildHand", "ChildProcess", "ChildSeat"]

_PATIENCE = 5.0  # seconds from SIGTERM to SIGKILL, where the worker's grace is not shorter
_STARTED_IN = Path.cwd()  # children start here too, whatever folder a handler has gone to since
_LOOK = 500  # milliseconds after which a silent child is looked at: what it started may hold the pipe open
_LEAVING = 2.0  # seconds that an idle child has to end


class ChildDied(MillraceError):
    """The child process ended while it ran a job. The attempt has failed; its text says how the child ended.

    >>> str(ChildDied("exit code 3"))
    'exit code 3'
    """


class ChildProcess:
    """One child process and the pipes to it."""

    def __init__(self) -> None:
        child_in, self._outgoing = os.pipe()
        self._incoming, child_out = os.pipe()
        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(each for each in (home, os.environ.get("PYTHONPATH")) if each)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "millrace.worker.child", str(child_in), str(child_out)],
                pass_fds=(child_in, child_out),
                stdin=subprocess.DEVNULL,
                cwd=_STARTED_IN,
                start_new_session=True,  # a terminal's Ctrl-C is the worker's to handle
                env={**os.environ, "PYTHONPATH": path, wire.CHILD_VARIABLE: "1"},
            )
        except BaseException:
            os.close(self._outgoing)
            os.close(self._incoming)
            raise
        finally:
            os.close(child_in)
            os.close(child_out)
        self.spoilt = False  #: it was told to end, and runs no other job
        self._buffer = bytearray()
        self._closing = Lock()
        self._closed = False
        self.tell(wire.Hello(tuple(sys.path)))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, message: wire.ToChild) -> None:
        """Send a message; nothing happens where the child has ended."""
        data = memoryview(wire.encode(message) + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._outgoing, data) :]

    def hear(self) -> wire.FromChild | None:
        """Wait for a message; None once the child has ended."""
        poll = select.poll()
        poll.register(self._incoming, select.POLLIN)
        while (end := self._buffer.find(b"\n")) < 0:
            if not poll.poll(_LOOK):
                if self._process.poll() is not None:
                    return None
                continue
            data = os.read(self._incoming, 65536)
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return wire.decode_from_child(line)

    def terminate(self) -> None:
        """Ask the handler to end, by SIGTERM."""
        self.spoilt = True
        with self._closing:
            if not self._closed:
                self._process.terminate()

    def kill(self) -> None:
        """End the child, and what it has started, by SIGKILL."""
        self.spoilt = True
        with self._closing:
            if not self._closed and self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> str:
        """End the child if it lives, and tell how it ended."""
        os.close(self._outgoing)  # it ends by itself when it sees that
        try:
            code = self._process.wait(_LEAVING)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        with self._closing:
            self._closed = True
        os.close(self._incoming)
        if code >= 0:
            return f"with exit code {code}"
        try:
            return f"by signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"by signal {-code}"


class ChildSeat:
    """Runs attempts in a child process, one at a time, and keeps the child for the next."""

    waits = True
    patience = _PATIENCE

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._child: ChildProcess | None = None
        self._homes: dict[str, Homes] = {}

    # -- millrace.worker.attempt.Seat

    def stop(self, _: Attempt) -> None:
        """Send SIGTERM."""
        child = self._child
        if child is not None:
            child.terminate()

    def give_up(self, _: Attempt) -> bool:
        """Send SIGKILL; whoever waits for the child then sees its end, and settles the attempt."""
        child = self._child
        if child is not None:
            child.kill()
        return False

    def replace(self, _: Attempt) -> None:
        """Do nothing: the slot is another's to replace."""

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    # -- running

    def perform(self, attempt: Attempt) -> Outcome | None:
        """Run one attempt in the child, to its end."""
        try:
            run = self._run_of(attempt)
            child = self._child
            if child is None:
                child = self._child = ChildProcess()
        except (ConfigurationError, OSError) as error:
            return raised(attempt, error)
        child.tell(run)
        if attempt.told is not None:  # while there was no child to be told
            child.terminate()
        outcome = self._follow(attempt, child)
        if child.spoilt:
            self.close()
        return outcome

    def _run_of(self, attempt: Attempt) -> wire.Run:
        name = attempt.plan.name
        if name not in self._homes:
            self._homes[name] = homes_of(attempt.plan.spec, self._floor.host)
        modules, file = self._homes[name]
        hooks = self._floor.hooks
        measured = self._floor.host.meter is not None
        return wire.Run(attempt.row, modules, file, len(hooks.arounds), hooks.log_level, measured)

    def _follow(self, attempt: Attempt, child: ChildProcess) -> Outcome | None:  # noqa: C901 - a case a message
        """Take what the child tells until the attempt has ended."""
        while True:
            match child.hear():
                case wire.Line(level, message, data, kept):
                    (attempt.keep if kept else attempt.log)(level, message, data)
                case wire.Progressed(progress):
                    attempt.progress(progress)
                case wire.Partial(result):
                    attempt.partial(result)
                    child.tell(wire.Answer(attempt.told is not Told.LOST))
                case wire.Extend(seconds):
                    child.tell(wire.Answer(_extended(attempt, seconds)))
                case wire.Completed():
                    self._floor.expected[attempt.row.id, attempt.row.claim] = attempt
                    attempt.aside.completed = True
                case wire.Counted(readings):
                    self._count(readings)
                case wire.Ended(outcome):
                    return reported(attempt, outcome)
                case wire.Stopped():
                    return raised(attempt, SystemExit("told to stop"))
                case wire.Unloadable(text):
                    return raised(attempt, ConfigurationError(text))
                case None:
                    return self._died(attempt, child)

    def _count(self, readings: bytes) -> None:
        """Take in what a child has counted of its own app."""
        meter = self._floor.host.meter
        if meter is not None:
            from millrace.metrics.readings import Readings

            meter.take_in(Readings.decode(readings))

    def _died(self, attempt: Attempt, child: ChildProcess) -> Outcome | None:
        self._child = None
        how = child.close()
        if attempt.told is not None:
            return raised(attempt, SystemExit(how))
        return raised(attempt, ChildDied(f"the child process {child.pid} that ran the job ended {how}"))


def _extended(attempt: Attempt, seconds: float) -> bool:
    try:
        attempt.extend(seconds)
    except MillraceError:
        return False
    return True


class ChildHand(Hand):
    """A thread of the worker with a child process."""

    patience = _PATIENCE

    def __init__(self, bay: Bay, floor: Floor, name: str) -> None:
        super().__init__(bay, floor, name)
        self._seat = ChildSeat(floor)

    def stop(self, attempt: Attempt, /) -> None:
        """Send SIGTERM."""
        self._seat.stop(attempt)

    def give_up(self, attempt: Attempt, /) -> bool:
        """Send SIGKILL; this thread then sees the child's end."""
        return self._seat.give_up(attempt)

    def farewell(self) -> None:
        """End the child."""
        self._seat.close()

    def perform(self, attempt: Attempt) -> Outcome | None:
        """Run one attempt in the child, to its end."""
        return self._seat.perform(attempt)
