"""Ids: UUID v7 for jobs, random numbers for workers. Owns their making; knows nothing of stores.

A job id is a UUID version 7 (RFC 9562, 5.7; monotonic within a process by its method 2: the random part counts
up while the millisecond stays), so ids sort by time of making. Inside they are 16 bytes, a `uuid.UUID` at the edge.
"""

from __future__ import annotations

import os
import random
import threading
import time
from uuid import UUID

from millrace.errors import ConfigurationError

__all__ = ["as_id", "new_id", "new_worker_id", "worker_name"]

_BYTES = 16
_RANDOM_BITS = 74
_LOW_BITS = (1 << 62) - 1
_VERSION_AND_VARIANT = (7 << 76) | (2 << 62)


class _Source:
    """One process's generator. Seeded from the system at import and again in a forked child."""

    __slots__ = ("bits", "lock", "millisecond", "tail")

    def __init__(self) -> None:
        self.reseed()

    def reseed(self) -> None:
        self.bits = random.Random(os.urandom(32)).getrandbits
        self.lock = threading.Lock()
        self.millisecond = 0
        self.tail = 0

    def next(self) -> bytes:
        with self.lock:
            now = time.time_ns() // 1_000_000
            if now > self.millisecond:
                self.millisecond = now
                self.tail = self.bits(_RANDOM_BITS - 1)  # top bit free, so that counting up cannot overflow
            else:
                now = self.millisecond
                self.tail += 1 + self.bits(32)
            tail = self.tail
        return (now << 80 | _VERSION_AND_VARIANT | (tail >> 62) << 64 | (tail & _LOW_BITS)).to_bytes(16, "big")


_source = _Source()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_source.reseed)


def new_id() -> bytes:
    """Make the 16 bytes of a new job id, strictly above every id made before in this process.

    >>> first, second = new_id(), new_id()
    >>> first < second, UUID(bytes=first).version
    (True, 7)
    """
    return _source.next()


def new_worker_id() -> int:
    """Make the random 63-bit number by which a worker names itself: part of the fence, never host or pid.

    >>> 0 < new_worker_id() < 2**63
    True
    """
    return int.from_bytes(os.urandom(8), "big") >> 1 or 1


def worker_name(worker: int) -> str:
    """Write a worker's number as people see it: 16 hexadecimal digits.

    >>> worker_name(255)
    '00000000000000ff'
    """
    return f"{worker:016x}"


def as_id(value: object) -> bytes:
    """Read a job id as a caller gives it (a UUID, its text, 16 bytes, or anything with such an `id`).

    Raises:
        ConfigurationError: It is not an id.

    >>> as_id("0190163d-8694-739b-aea5-966c26f8ad91").hex()
    '0190163d8694739baea5966c26f8ad91'
    """
    inner = getattr(value, "id", value)
    if isinstance(inner, UUID):
        return inner.bytes
    if isinstance(inner, bytes) and len(inner) == _BYTES:
        return inner
    if isinstance(inner, str):
        try:
            return UUID(inner).bytes
        except ValueError:
            pass
    raise ConfigurationError(f"{value!r} is not a job id; give a Job, a UUID or its text")
