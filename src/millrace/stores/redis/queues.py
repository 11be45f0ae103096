"""Queues and their settings. Owns the hash `queues`; what the settings mean to a claim stands in `claim.py`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from millrace.groups import Pace
from millrace.messages import QueueSettings, empty_counts
from millrace.records import QueueInfo
from millrace.stores.redis.counting import by_queue
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["pause_queue", "read_queues", "write_queue"]

QUEUES: Final = script("queues")
SET_QUEUE: Final = script("set_queue")

_NO_SETTINGS: tuple[int, bool, int | bool, Pace | None] = (0, False, False, None)
_AS_IT_IS = -1

_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


def read_queues(session: Session) -> list[QueueInfo]:
    """Read every queue that has settings or jobs, by name."""
    written, counted = session.run(QUEUES)
    settings = {name.decode(): _settings(packed) for name, packed in zip(written[::2], written[1::2], strict=True)}
    counts = by_queue(counted)
    infos: list[QueueInfo] = []
    for name in sorted(settings.keys() | counts.keys()):
        priority, paused, concurrency, pace = settings.get(name, _NO_SETTINGS)
        limit = None if concurrency is False else concurrency
        infos.append(QueueInfo(name, priority, paused, limit, counts.get(name) or empty_counts(), pace))
    return infos


def _settings(packed: bytes) -> tuple[int, bool, int | bool, Pace | None]:
    priority, paused, concurrency, *rate = _unpack(packed)
    return priority, paused, concurrency, Pace(*rate[0]) if rate and rate[0] else None


def write_queue(session: Session, name: str, settings: QueueSettings) -> None:
    """Write a queue's settings."""
    paused = _AS_IT_IS if settings.paused is None else int(settings.paused)
    limit = False if settings.concurrency is None else settings.concurrency
    session.run(SET_QUEUE, name, _pack([paused, settings.priority, limit, settings.rate or False]))


def pause_queue(session: Session, name: str, *, paused: bool) -> None:
    """Pause or resume a queue; other settings stay."""
    session.run(SET_QUEUE, name, _pack([int(paused)]))
