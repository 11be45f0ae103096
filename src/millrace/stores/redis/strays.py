"""Jobs that were claimed for a worker which never heard of it, because the reply was lost. Owns how they go back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from millrace.states import ACTIVE
from millrace.stores.redis.record import FORM, STATES, worker_bytes
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["give_back", "still_held"]

GIVE_BACK: Final = script("give_back")

_AT_ONCE = 1000
_WORKER = 9  # of a record's values


def still_held(session: Session, worker: int, ids: Sequence[bytes]) -> list[bytes]:
    """Tell which of these jobs are running for a worker."""
    packed, meta = worker_bytes(worker), session.keys.key("meta")
    held: list[bytes] = []
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        for id, record in zip(some, session.command("HMGET", meta, *some), strict=True):
            if record is not None:
                values: tuple[Any, ...] = FORM.unpack_from(record)
                if STATES[values[0]] in ACTIVE and values[_WORKER] == packed:
                    held.append(id)
    return held


def give_back(session: Session, worker: int, held: Sequence[bytes]) -> int:
    """Make a worker's running jobs pending again but for those it holds; return how many."""
    kept, cursor, given = b"".join(held), b"0", 0
    number: int
    while True:
        cursor, number = session.run(GIVE_BACK, worker_bytes(worker), cursor, kept)
        given += number
        if cursor == b"0":
            return given
