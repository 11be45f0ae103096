"""A queue with limits of keys or a rate, as a claim takes from it. Owns the buckets; the choice is `turnstile.py`'s."""

from __future__ import annotations

from collections.abc import Collection

from millrace.groups import Bucket
from millrace.stores.memory.entry import Entry
from millrace.stores.memory.rules import QueueRules
from millrace.stores.memory.shelf import Lane, Shelf
from millrace.stores.turnstile import Rules, Stream, Turnstile

__all__ = ["Buckets", "LimitedHeads"]

_MANY = 1000  #: buckets; those that are full again are forgotten once there are twice as many as were left


class Buckets(dict[str, Bucket]):
    """The buckets of one memory, and the party that each queue has served last."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, str] = {}
        self._full_at: dict[str, int] = {}
        self._most = _MANY

    def keep(self, rules: Rules) -> None:
        """Note when the buckets that tokens were taken from are full again, and forget those that are."""
        for name, pace in rules.spent.items():
            self._full_at[name] = self[name].full_at(pace)
        if len(self) > self._most:
            for name in [name for name in self if self._full_at.get(name, 0) <= rules.now]:
                del self[name]
                self._full_at.pop(name, None)
            self._most = max(_MANY, 2 * len(self))


class LimitedHeads:
    """What may be taken from such a queue; one job after the other, each claimed before the next is asked for."""

    __slots__ = ("_buckets", "_rules", "_turnstile", "priority", "queue")

    def __init__(
        self,
        shelf: Shelf,
        buckets: Buckets,
        queue: str,
        *,
        rules: QueueRules,
        tasks: Collection[str] | None,
        room: int,
        now: int,
    ) -> None:
        self.queue = queue
        self.priority = rules.priority
        self._buckets = buckets
        self._rules = Rules(
            queue, room=room, pace=rules.pace, live=dict(shelf.live.get(queue, {})), buckets=buckets, now=now
        )
        plain = [(task, lane) for task, lane in shelf.lanes.get(queue, {}).items() if tasks is None or task in tasks]
        streams = [_stream(task, None, lane) for task, lane in plain] + [
            _stream(task, entry, lane)
            for (task, _), lane in shelf.groups.get(queue, {}).items()
            if (tasks is None or task in tasks) and (entry := _first(lane)) is not None
        ]
        self._turnstile = Turnstile(self._rules, streams, buckets.last.get(queue, ""), _read_on)

    @property
    def room_at(self) -> int | None:
        """When a job may be claimed that only a rate holds back."""
        return self._rules.room_at

    def goes_on(self) -> bool:
        """Tell whether there is another job to take, and room for it; asked once the one before has left its lane."""
        return self._turnstile.ready()

    def take(self) -> Entry:
        """Return the next job of the queue."""
        ((_, entry),) = self._turnstile.take(1)
        self._buckets.last[self.queue] = self._turnstile.last
        self._rules.settle()
        self._buckets.keep(self._rules)
        self._rules.spent.clear()
        chosen: Entry = entry
        return chosen


def _stream(task: str, entry: Entry | None, lane: Lane) -> Stream:
    stream = Stream(task, None if entry is None else entry.limits, [], [], handle=lane)
    _read_on(stream)
    return stream


def _read_on(stream: Stream) -> None:
    """Look at the head of a lane, which the job chosen before has left."""
    lane: Lane = stream.handle
    first = lane.first
    if first is None:
        stream.whole = True
    else:
        stream.ranks, stream.jobs, stream.at = [first[0]], [first[1]], 0


def _first(lane: Lane) -> Entry | None:
    first = lane.first
    return None if first is None else first[1]
