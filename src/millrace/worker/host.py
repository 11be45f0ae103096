"""What a worker needs of the app that it works for. Owns that list; the app is such a host, and so may a test's be."""

from __future__ import annotations

from typing import Protocol

from millrace.job import JobOrigin
from millrace.registry import Registry
from millrace.store import Store

__all__ = ["Host"]


class Host(JobOrigin, Protocol):
    """The store to work on and the tasks to run; the jobs that handlers see can be asked again through it."""

    store: Store

    @property
    def registry(self) -> Registry:
        """The tasks by name; ones added later are picked up."""
        ...

    @property
    def retention(self) -> float | None:
        """Seconds for which jobs that a rescue cancels are kept; None for ever."""
        ...

    @property
    def dead_retention(self) -> float | None:
        """Seconds for which jobs that a rescue finds dead are kept; None for ever."""
        ...
