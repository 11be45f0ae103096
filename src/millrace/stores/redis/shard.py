"""The deployment of one queue, where each has its own. Owns what is said to the store that it is a part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from millrace.clock import Clock
from millrace.stores.redis.session import Call
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.store import RedisStore
from millrace.transfer import WholeJob

__all__ = ["Shard"]


class Shard(RedisStore):
    """The jobs of one queue, with connections of its own, as its node may be another one. Nobody watches it.

    Args:
        settings: Of the store that it is a part of.
        queue: Its name.
        clock: Where the time comes from; None is the server.
        changed: Called with the queue, and whether jobs may have become claimable, when something was done.
    """

    def __init__(
        self, settings: Settings, queue: str, clock: Clock | None, changed: Callable[[str, bool], None]
    ) -> None:
        super().__init__(replace(settings, shard=False, queue=queue), clock=clock)
        self.queue = queue
        self._tell = changed

    def begin_work(self, worker: int) -> None:
        """Note that a worker of this process may claim; a second time does nothing."""
        self._begin_work(worker)

    def end_work(self, worker: int) -> None:
        """Note that it has stopped."""
        self._end_work(worker)

    def trip(self, calls: Sequence[Call], now: int | None) -> list[Any]:
        """Run scripts, of which each may be run again."""
        return self._trip(None, calls, now)

    def read_key(self, kind: str, id: bytes) -> set[bytes]:
        """Read the set of a kind that belongs to a job."""
        return self._read_key(kind, id)

    def _tie_restored(self, jobs: Sequence[WholeJob]) -> None:
        """Leave it to the store that it is a part of, which sees the parents."""

    def promote(self, *, limit: int = 500, now: int | None = None) -> int:
        """Make due jobs pending; return how many."""
        promoted = super().promote(limit=limit, now=now)
        if promoted:
            self._changed((self.queue,))
        return promoted

    def _changed(self, queues: Iterable[str] = ()) -> None:
        self._tell(self.queue, bool(list(queues)))
