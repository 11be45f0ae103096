"""Several worker processes under one parent: `--processes N`. Owns their starts, their restarts and their end.

A process that dies, whatever killed it, costs only the jobs it ran; another one takes its place, later each time it
dies young. Signals are passed on to all; the parent ends when the last of them has.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from millrace.worker.bell import Bell
from millrace.worker.notice import Notice
from millrace.worker.stopping import StopSignals
from millrace.worker.telling import LOGGER

if TYPE_CHECKING:
    from millrace.worker.gathering import Gathering, Line

__all__ = ["Supervisor", "supervise"]

_FIRST, _LONGEST = 0.5, 30.0  # seconds before a process that died young is started again, before jitter
_YOUNG = 10.0  # seconds; one that lived for longer begins again with the first delay
_KILL_AFTER = 10.0  # seconds beyond the grace that a process has to end by itself
_USAGE = 2  # the exit code of a command that was given something wrong, or is refused by its store


class Supervisor:
    """Runs `count` processes of one command and keeps them alive.

    Args:
        command: The argument vector of one worker process.
        count: How many.
        grace: Seconds that a process has to stop; some more, and it is killed.
        burst: A process that ends with exit code 0 has done its part, and is not started again.
        environment: Of the processes; None is this one's.
        gathering: Hears how they do; None: nobody asks.

    >>> import sys
    >>> Supervisor([sys.executable, "-c", "pass"], 2, burst=True).run()
    0
    """

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        *,
        grace: float = 30.0,
        burst: bool = False,
        environment: Mapping[str, str] | None = None,
        gathering: Gathering | None = None,
    ) -> None:
        self.restarts = Notice()  #: processes started again
        self.started = Notice()  #: processes started, again or for the first time
        self._command = list(command)
        self._grace = grace
        self._burst = burst
        self._environment = environment
        self._gathering = gathering
        self._bell = Bell()
        self._ended: SimpleQueue[_Place] = SimpleQueue()
        self._places = [_Place(number + 1) for number in range(count)]
        self._stop_asked = 0
        self._worst = 0
        if gathering is not None:
            gathering.missing(self._missing)

    @property
    def pids(self) -> list[int]:
        """The process ids of those that live."""
        return [process.pid for place in self._places if (process := place.process) is not None]

    def stop(self) -> None:
        """Ask all processes to stop, as a signal does; a second call lets them stop at once."""
        self._stop_asked += 1
        self._bell.ring()

    def run(self) -> int:
        """Run until all processes have ended.

        Returns:
            0 where all ended well; 1 where one had to be stopped at once, or killed; 2 where the command itself is
            wrong.
        """
        with StopSignals(self._bell) as signals:
            passed_on = 0
            kill_at: float | None = None
            while any(place.wanted or place.process is not None for place in self._places):
                self._start_due()
                self._bell.wait(self._nap(kill_at))
                self._collect(stopping=passed_on > 0)
                asked = signals.count + self._stop_asked
                if asked > passed_on:
                    passed_on = asked
                    kill_at = monotonic() + (self._grace + _KILL_AFTER if asked == 1 else _KILL_AFTER)
                    self._pass_on(asked)
                if kill_at is not None and monotonic() >= kill_at:
                    self._kill_all()
        return self._worst

    def _start_due(self) -> None:
        now = monotonic()
        for place in self._places:
            if not place.wanted or place.process is not None or place.start_at > now:
                continue
            place.process = self._start(place)
            place.started_at = now
            Thread(target=self._wait_for, args=(place, place.process), daemon=True, name="millrace-supervisor").start()
            self.started.tell()

    def _start(self, place: _Place) -> subprocess.Popen[bytes]:
        line = None if self._gathering is None else self._gathering.open(place.name)
        environment = self._environment
        if line is not None:
            environment = {**(os.environ if environment is None else environment), **line.environment}
        # in a group of its own: a Ctrl-C must reach it once, from here, for a second signal cuts the grace short
        process = subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=() if line is None else (line.descriptor,),
        )
        if line is not None:
            line.started()
            place.line = line
        return process

    def _missing(self) -> list[str]:
        """Name the processes that should live and do not."""
        return [place.name for place in self._places if place.wanted and place.process is None]

    def _wait_for(self, place: _Place, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._ended.put(place)
        self._bell.ring()

    def _nap(self, kill_at: float | None) -> float:
        """Return the seconds until something is to be done by the clock; negative: nothing is."""
        times = [place.start_at for place in self._places if place.wanted and place.process is None]
        if kill_at is not None:
            times.append(kill_at)
        return max(min(times) - monotonic(), 0.0) if times else -1

    def _collect(self, *, stopping: bool) -> None:
        """Look at the processes that have ended, and decide which to start again."""
        while True:
            try:
                place = self._ended.get_nowait()
            except Empty:
                return
            process, place.process = place.process, None
            if self._gathering is not None and place.line is not None:
                self._gathering.close(place.line)
            code = 0 if process is None else process.returncode
            if stopping or (self._burst and code == 0):
                place.wanted = False
                # by SIGTERM itself ends only one that had not begun to work, and so has lost nothing
                self._worst = max(self._worst, 0 if code in (0, -signal.SIGTERM) else 1)
            elif code == _USAGE and place.first:
                self._worst = _USAGE
                self._stop_asked += 1
                place.wanted = False
            else:
                self._put_off(place, code)
            place.first = False

    def _put_off(self, place: _Place, code: int) -> None:
        """Have a process started again: the later, the more often it has died young."""
        now = monotonic()
        if now - place.started_at > _YOUNG:
            place.delay = _FIRST
        place.start_at = now + place.delay * random.uniform(0.8, 1.2)
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        LOGGER.error("worker process %d ended %s; another starts in %.1f s", place.number, how, place.start_at - now)
        place.delay = min(place.delay * 2, _LONGEST)
        self.restarts.tell()

    def _pass_on(self, asked: int) -> None:
        LOGGER.info("stopping %d worker processes%s", len(self.pids), " at once" if asked > 1 else "")
        for place in self._places:
            place.wanted = False
            if place.process is not None:
                place.process.terminate()

    def _kill_all(self) -> None:
        for place in self._places:
            if place.process is not None and place.process.poll() is None:
                LOGGER.error("worker process %d does not end and is killed", place.number)
                place.process.kill()
                self._worst = max(self._worst, 1)


class _Place:
    """One of the processes that should live."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"worker process {number}"
        self.line: Line | None = None  #: to the last process
        self.wanted = True
        self.process: subprocess.Popen[bytes] | None = None
        self.first = True  #: whether none has run here before; later, what is refused may be allowed again
        self.start_at = 0.0
        self.started_at = 0.0
        self.delay = _FIRST


def supervise(
    command: Sequence[str],
    count: int,
    *,
    grace: float = 30.0,
    burst: bool = False,
    environment: Mapping[str, str] | None = None,
    gathering: Gathering | None = None,
) -> int:
    """Run `count` processes of a worker's command until they have ended; return the exit code. See `Supervisor`.

    >>> import sys
    >>> supervise([sys.executable, "-c", "raise SystemExit(2)"], 1)
    2
    """
    made = Supervisor(command, count, grace=grace, burst=burst, environment=environment, gathering=gathering)
    return made.run()
