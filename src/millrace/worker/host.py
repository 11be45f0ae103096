"""What a worker needs of the app that it works for. Owns that list; the app is such a host, and so may a test's be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from millrace.errors import ConfigurationError, StoreUnavailable
from millrace.hooks import Hooks
from millrace.job import JobOrigin
from millrace.registry import Registry
from millrace.store import Store

if TYPE_CHECKING:
    from millrace.metrics.meter import Meter

__all__ = ["Host", "checked", "ready"]


@runtime_checkable
class Host(JobOrigin, Protocol):
    """The store to work on and the tasks to run; the jobs that handlers see can be asked again through it."""

    store: Store

    @property
    def hooks(self) -> Hooks:
        """What is called around attempts, and when something happens."""
        ...

    @property
    def meter(self) -> Meter | None:
        """What counts for it; None where nobody measures it."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the app was closed; nothing can run on it then."""
        ...

    def load(self) -> None:
        """Import the modules whose tasks belong to it."""
        ...

    def settle_schedules(self) -> None:
        """Let the store know the schedules that stand in the code; cheap where it does already."""
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


def checked(given: object) -> Host:
    """Check that what a worker is to work for can be a host.

    Raises:
        ConfigurationError: It cannot.

    >>> checked("tasks:app")
    Traceback (most recent call last):
    millrace.errors.ConfigurationError: a worker works for an app, not for 'tasks:app'; give a Millrace
    """
    if not isinstance(given, Host):
        raise ConfigurationError(f"a worker works for an app, not for {given!r}; give a Millrace")
    return given


def ready(host: Host) -> None:
    """See that a host can be worked for: it is open, and all its tasks are known.

    Raises:
        StoreUnavailable: It is closed, for good until someone opens it.
        ConfigurationError: A module with tasks cannot be imported.
    """
    if host.closed:
        raise StoreUnavailable(f"the app on {host.store.url} is closed; open it again with app.open()")
    host.load()
