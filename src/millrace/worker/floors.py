"""Which floor a worker or a drain works on: a plain one, or one that is measured. Owns that choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.worker.floor import Floor
from millrace.worker.news import Tell
from millrace.worker.notice import Notices

if TYPE_CHECKING:
    from millrace.worker.host import Host

__all__ = ["make_floor"]


def make_floor(
    host: Host, notices: Notices, *, tasks: frozenset[str] | None, grace: float, tell: Tell | None = None
) -> Floor:
    """Make the floor that fits an app. See `Floor`; whoever has one leaves it at the end."""
    if host.meter is None:
        return Floor(host, notices, tasks=tasks, grace=grace, tell=tell)
    from millrace.worker.meteredfloor import MeteredFloor

    return MeteredFloor(host, notices, tasks=tasks, grace=grace, tell=tell, meter=host.meter)
