"""The memory store's follow-ups: holding jobs until others have ended. Owns the locking of these verbs."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.followups import in_order
from millrace.messages import InsertAnswer, NewRow
from millrace.stores.memory.base import MemoryBase, at_of
from millrace.stores.memory.follow import hold, settle

__all__ = ["Follower"]


class Follower(MemoryBase):
    """Holds jobs; see `millrace.followups.Following`."""

    def hold(self, rows: Sequence[NewRow], *, now: int | None = None) -> InsertAnswer:
        """Insert jobs, some of which are held."""
        with self._whole() as memory:
            answer = hold(memory.shelf, rows, at_of(memory, now))
        memory.changed()
        return answer

    def settle(self, *, limit: int = 100, now: int | None = None) -> int:  # noqa: ARG002
        """Let parents that have ended act: each verb has seen to it already."""
        with self._whole() as memory:
            return settle(memory.shelf, at_of(memory, now))

    def open_parents(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the parents that it waits for still."""
        with self._whole() as memory:
            return in_order(memory.shelf.waits, ids)

    def followers(self, ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
        """Return for each job the jobs that wait for it still."""
        with self._whole() as memory:
            return in_order(memory.shelf.followed, ids)
