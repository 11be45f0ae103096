"""Which queues there are, where each is a deployment of its own, and their priorities. Owns the hash that tells.

It is the hash `queues` of the deployment that they share: a queue is in it before its first job is, and stays. To take
out one that has become empty would lose the job that another process is about to put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from millrace.stores.redis.session import Session

__all__ = ["enter_queues", "read_directory"]

_PLAIN = msgspec.msgpack.encode((0, False, False))  # priority, paused, concurrency: the settings of one that has none
_settings = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


def read_directory(session: Session) -> Mapping[str, int]:
    """Return the priority of every queue."""
    told: Sequence[bytes] = session.command("HGETALL", session.keys.key("queues"))
    return {name.decode(): _settings(packed)[0] for name, packed in zip(told[::2], told[1::2], strict=True)}


def enter_queues(session: Session, names: Iterable[str]) -> None:
    """Make queues known; the settings of one that is known stay."""
    for name in names:
        session.command("HSETNX", session.keys.key("queues"), name, _PLAIN)
