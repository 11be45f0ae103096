"""Counts of jobs. Owns the reads. The scripts count by state and queue with every change, so none is an estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from millrace.messages import Waiting, empty_counts
from millrace.states import JobState
from millrace.stores.redis.looks import Look, look_once
from millrace.stores.redis.record import STATES
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["by_queue", "count_states", "count_waiting", "tell_waiting"]

DEPTH: Final = script("depth")
WAITING: Final = script("waiting")

_LANE = 4  # parts of what the script tells of a queue and task

_pack = msgspec.msgpack.encode


def count_states(session: Session, queue: str | None) -> dict[JobState, int]:
    """Count jobs by state."""
    if queue is not None:
        fields = [f"{number}:{queue}" for number in range(len(STATES))]
        found: Sequence[Any] = session.command("HMGET", session.keys.key("counts"), *fields)
        return {state: int(number or 0) for state, number in zip(STATES, found, strict=True)}
    counts = empty_counts()
    told: Sequence[Any] = session.command("HGETALL", session.keys.key("counts"))
    for of_queue in by_queue(told).values():
        for state, number in of_queue.items():
            counts[state] += number
    return counts


def by_queue(told: Sequence[Any]) -> Mapping[str, dict[JobState, int]]:
    """Read the hash of counts, its fields and values in turn.

    >>> by_queue([b"1:mail", b"2"])["mail"][JobState.PENDING]
    2
    """
    counts: dict[str, dict[JobState, int]] = {}
    for field, number in zip(told[::2], told[1::2], strict=True):
        state, _, queue = field.decode().partition(":")
        counts.setdefault(queue, empty_counts())[STATES[int(state)]] = int(number)
    return counts


def count_waiting(look: Look, queue: str | None) -> int:
    """Count what waits for a worker."""
    if queue is None:
        return int(look_once(look, DEPTH))
    return sum(each.number for each in _lanes(look, queue))


def tell_waiting(look: Look) -> list[Waiting]:
    """Tell the same by queue and task, with the earliest due time of each."""
    return sorted(_lanes(look, None), key=lambda each: (each.queue, each.task))


def _lanes(look: Look, queue: str | None) -> list[Waiting]:
    lanes: dict[tuple[str, str], Waiting] = {}
    left: Sequence[Any] | None = None
    looked_at = 0
    while left is None or left or looked_at >= 0:
        given = _pack([queue or False, False if left is None else [name.decode() for name in left], looked_at])
        left, looked_at, *told = look_once(look, WAITING, given)
        for first in range(0, len(told), _LANE):
            name, task, number, since = told[first : first + _LANE]
            lane = name.decode(), task.partition(b"\xff")[0].decode()  # a group may stand behind it
            known = lanes.get(lane, Waiting(*lane, 0, int(since)))
            lanes[lane] = Waiting(*lane, known.number + number, min(known.since, int(since)))
    return list(lanes.values())
