"""What a worker needs of the app that it works for. Owns that list; the app is such a host, and so may a test's be."""

from __future__ import annotations

from typing import Protocol

from millrace.errors import StoreUnavailable
from millrace.job import JobOrigin
from millrace.registry import Registry
from millrace.store import Store

__all__ = ["Host", "ready"]


class Host(JobOrigin, Protocol):
    """The store to work on and the tasks to run; the jobs that handlers see can be asked again through it."""

    store: Store

    @property
    def closed(self) -> bool:
        """Whether the app was closed; nothing can run on it then."""
        ...

    def load(self) -> None:
        """Import the modules whose tasks belong to it."""
        ...

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


def ready(host: Host) -> None:
    """See that a host can be worked for: it is open, and all its tasks are known.

    Raises:
        StoreUnavailable: It is closed, for good until someone opens it.
        ConfigurationError: A module with tasks cannot be imported.
    """
    if host.closed:
        raise StoreUnavailable(f"the app on {host.store.url} is closed; open it again with app.open()")
    host.load()
