"""Something that has happened in a worker, counted. Owns the counting and the waiting for it.

Tests and others wait on notices where they would have to sleep; nothing on the way of a job touches one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Condition

__all__ = ["Notice", "Notices"]


class Notice:
    """A kind of event and how often it has happened.

    >>> notice = Notice()
    >>> notice.tell()
    >>> notice.count, notice.wait(1, timeout=0.1), notice.wait(2, timeout=0.0)
    (1, True, False)
    """

    __slots__ = ("_condition", "_count")

    def __init__(self) -> None:
        self._condition = Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How often it has happened."""
        return self._count

    def tell(self, times: int = 1) -> None:
        """Say that it has happened."""
        with self._condition:
            self._count += times
            self._condition.notify_all()

    def wait(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until it has happened so often in all, at most `timeout` seconds; tell whether it has."""
        with self._condition:
            return self._condition.wait_for(lambda: self._count >= count, timeout)


@dataclass(frozen=True)
class Notices:
    """What one worker tells, over all its starts.

    >>> Notices().outages.count
    0
    """

    idle: Notice = field(default_factory=Notice)  #: it has looked, and found nothing more to claim
    swept: Notice = field(default_factory=Notice)  #: a round of maintenance has ended
    extended: Notice = field(default_factory=Notice)  #: leases were extended
    told: Notice = field(default_factory=Notice)  #: an attempt was told to stop
    abandoned: Notice = field(default_factory=Notice)  #: an attempt was given up, its slot replaced
    lost: Notice = field(default_factory=Notice)  #: an outcome was refused or dropped: the lease is another's
    returned: Notice = field(default_factory=Notice)  #: a job claimed ahead was given back unbegun
    outages: Notice = field(default_factory=Notice)  #: the store went out of reach
    recoveries: Notice = field(default_factory=Notice)  #: it came back
    stopping: Notice = field(default_factory=Notice)  #: a stop began
