"""What `millrace worker` tells of itself while it runs: on a port of its own, or to the parent that has the port.

Owns who measures what: one process measures its app; the parent of several measures nothing, and sums up.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millrace import Millrace, Worker
    from millrace.worker.gathering import Gathering

__all__ = ["Metrics", "metrics_of"]


@dataclass(frozen=True)
class Metrics:
    """Where it is told: the address of the port, and what sums up several processes; None where there is none."""

    url: str | None = None
    gathering: Gathering | None = None


@contextmanager
def metrics_of(app: Millrace, made: Worker, host: str, port: int | None, *, several: bool) -> Generator[Metrics]:
    """Tell of a worker while the block runs, where somebody wants to hear; else nothing is measured.

    Args:
        app: The worker's.
        made: The worker.
        host: The address of the port.
        port: None: no port.
        several: It is only the pattern of several processes, which this one looks after.

    Raises:
        ConfigurationError: The port cannot be had.
    """
    from millrace.worker.reporting import line_of_parent

    line = line_of_parent()
    if line is not None:
        from millrace.measuring import Measured
        from millrace.worker.reporting import Reporter

        measured = Measured(app)
        reporter = Reporter(line, measured.own, measured.backlog, lambda: made.complaints)
        try:
            yield Metrics()
        finally:
            reporter.close()
        return
    if port is None:
        yield Metrics()
        return
    from millrace.worker.metricsport import MetricsPort

    if several:
        from millrace.worker.gathering import Gathering

        gathering = Gathering()
        with MetricsPort(host, port, gathering.read, gathering.complaints) as opened:
            yield Metrics(opened.url, gathering)
        return
    from millrace.measuring import Measured

    measured = Measured(app)
    with MetricsPort(host, port, measured.read, lambda: made.complaints) as opened:
        yield Metrics(opened.url)
