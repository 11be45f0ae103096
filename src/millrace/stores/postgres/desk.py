"""What people, clients and maintenance ask of the store: changing jobs, reading, queues, retention, register, locks."""

from __future__ import annotations

from millrace.stores.postgres.base import ServerStore

__all__ = ["Desk"]


class Desk(ServerStore):
    """Everything but producing and working."""
