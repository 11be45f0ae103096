"""What is counted over all jobs, for the pages. Owns when it is counted anew, so that no page waits for a long count.

A count grows with the jobs that wait. One that is quick is made for each page; of one that is not, the page shows the
last, and says how old it is, while a thread counts anew: at most a twentieth of the time, whoever looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from millrace.cli.health import Problem, find_problems
from millrace.clock import to_datetime
from millrace.messages import Waiting
from millrace.records import QueueInfo
from millrace.states import JobState

if TYPE_CHECKING:
    from millrace import Millrace

__all__ = ["Counted", "Tally"]

_QUICK = 0.05  # seconds: a count that takes no longer is made for each page
_PATIENCE = 0.03  # seconds that a page waits for one that takes longer
_FIRST_PATIENCE = 2.0  # and for one of which nothing is known yet, or that was quick
_SHARE = 20  # so many times as long as it took does a longer one stand
_DUE_SECONDS = 60.0  # that a due job may wait before it is a problem


class Counted(msgspec.Struct, frozen=True):
    """What was counted at one moment.

    Attributes:
        at: When, by the store's clock; None: nothing has been counted yet.
        fresh: It was counted for the page that shows it.
    """

    counts: Mapping[JobState, int] = {}
    queues: Sequence[QueueInfo] = ()
    waiting: Sequence[Waiting] = ()
    problems: Sequence[Problem] = ()
    at: datetime | None = None
    fresh: bool = True


class Tally:
    """Counts the jobs of one app.

    Args:
        app: Whose.
        clock: Seconds, of which only differences count: how long a count takes, and stands.

    >>> from millrace import Millrace
    >>> Tally(Millrace("memory://")).read().counts[JobState.DEAD]
    0
    """

    def __init__(self, app: Millrace, clock: Callable[[], float] = monotonic) -> None:
        self._app = app
        self._clock = clock
        self._changed = Condition()
        self._counting = False
        self._rounds = 0  # counts that have ended, well or not
        self._last: Counted | None = None
        self._error: Exception | None = None
        self._took = 0.0
        self._again = 0.0
        self._paused: dict[str, bool] = {}  # what was changed here since the count that goes on began

    def read(self) -> Counted:
        """Return what is counted now, or was last.

        Raises:
            MillraceError: It could not be counted.
        """
        with self._changed:
            wanted = (
                self._rounds + 1 + self._counting
            )  # one that goes on may have begun before what its reader has done
            patience = _FIRST_PATIENCE if self._last is None or self._is_quick else _PATIENCE
            until = monotonic() + patience
            while self._rounds < wanted and (self._counting or self._begin()):
                if not self._changed.wait_for(lambda: not self._counting, until - monotonic()):
                    break
                if not self._is_quick:
                    break
            if self._error is not None:
                raise self._error
            if self._last is None:
                return Counted()
            return self._last if self._rounds >= wanted else replace(self._last, fresh=False)

    @property
    def _is_quick(self) -> bool:
        return self._took <= _QUICK

    def _begin(self) -> bool:
        """Begin to count, where it is time to; the lock is held."""
        if not self._is_quick and self._clock() < self._again:
            return False
        self._counting, self._error, self._paused = True, None, {}
        Thread(target=self._count, name="millrace-tally", daemon=True).start()
        return True

    def note(self, queue: str, *, paused: bool) -> None:
        """Take in what was just changed of a queue, so that the next page shows it, however old its counts are."""
        with self._changed:
            self._paused[queue] = paused
            if self._last is not None:
                self._last = self._amended(self._last)

    def _count(self) -> None:
        begun = self._clock()
        found: Counted | None = None
        failed: Exception | None = None
        try:
            found = self._counted()
        except Exception as error:  # noqa: BLE001 - whatever it is, the page that waits tells it
            failed = error
        with self._changed:
            ended = self._clock()
            self._took = ended - begun
            self._again = ended + _SHARE * self._took
            self._last = self._last if found is None else self._amended(found)
            self._error = failed
            self._counting = False
            self._rounds += 1
            self._changed.notify_all()

    def _counted(self) -> Counted:
        app = self._app
        waiting, queues = app.store.waiting(), app.queues()
        problems = list(find_problems(app, _DUE_SECONDS, waiting=waiting, queues=queues))
        return Counted(app.counts(exact=False), queues, waiting, problems, to_datetime(app.store.now()))

    def _amended(self, counted: Counted) -> Counted:
        queues = {each.name: each for each in counted.queues}
        for name, paused in self._paused.items():
            queues[name] = replace(queues.get(name) or QueueInfo(name), paused=paused)
        return replace(counted, queues=[queues[name] for name in sorted(queues)])
