"""Measuring an app: who begins it, and who reads what was measured. Owns that; counting is `metrics`' business.

An app that nobody measures never loads this, and pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.backlog import Backlog
from millrace.metrics.meter import Meter

if TYPE_CHECKING:
    from millrace.core import Core
    from millrace.metrics.readings import Readings

__all__ = ["Measured", "measure"]


def measure(app: Core) -> Meter:
    """Let an app be measured from now on, and return what counts for it; again, the same.

    To be done before the app is used, and before its workers start: a worker at work already is not measured.

    >>> from millrace import Millrace
    >>> app = Millrace("memory://")
    >>> meter = measure(app)
    >>> job = app.task(name="ping")(lambda: "pong").enqueue()
    >>> [(family.name, *labels, number) for family, labels, number in meter.read().values()]
    [('millrace_jobs_enqueued_total', 'ping', 'default', 1.0)]
    """
    meter = app.meter
    if meter is None:
        meter = Meter()
        app.measured_by(meter)
    return meter


class Measured:
    """An app that is measured, and what waits in its store.

    Args:
        app: The app.

    >>> from millrace import Millrace
    >>> from millrace.metrics.text import text_of
    >>> "millrace_store_up 1" in text_of(Measured(Millrace("memory://")).read())
    True
    """

    def __init__(self, app: Core) -> None:
        self._meter = measure(app)
        self._backlog = Backlog(lambda: app.store)

    def read(self) -> Readings:
        """Return all readings."""
        backlog = self.backlog()  # first: it is itself a call that is counted
        readings = self.own()
        readings.merge(backlog)
        return readings

    def own(self) -> Readings:
        """Return those of this process alone."""
        return self._meter.read()

    def backlog(self) -> Readings:
        """Return those of the whole store, which cost a read of it, and are the same in every process."""
        return self._backlog.read()
