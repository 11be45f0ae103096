"""Leases: extending them, with what comes in a beat, and taking them back. Owns their changes between claim and end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from millrace.messages import Beat, Rescued
from millrace.outcome import lost_lease
from millrace.states import JobState
from millrace.stores.beats import attempt_of, merged
from millrace.stores.redis.pieces import pieces
from millrace.stores.redis.record import FORM, STATES, read_names, worker_bytes, worker_number
from millrace.stores.redis.rows import pack_progress
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Argument, Session

__all__ = ["AT_ONCE", "extend", "read_cancelling", "rescue"]

EXTEND: Final = script("extend")
CANCELLING: Final = script("cancelling")
RESCUE: Final = script("rescue")
AT_ONCE: Final = 500  #: jobs that one script extends; it rescues half as many

_FOR_EVER = -1
_LOST: Final = lost_lease("%d", "%d")  #: the error of a job whose lease was lost, for the script to fill in
_states = dict(enumerate(STATES))
_pack = msgspec.msgpack.Encoder().encode


def extend(session: Session, worker: int, beats: Sequence[Beat]) -> list[JobState | None]:
    """Write beats; return each job's state, None where the claim is lost."""
    some = merged(beats)
    packed = worker_bytes(worker)
    sizes = [len(beat.result or b"") for beat in some]
    replies = session.trip([(EXTEND, _told(packed, some[piece])) for piece in pieces(sizes, AT_ONCE)])
    states = [state for reply in replies for state in reply]
    held = {attempt_of(beat): _states[state] for beat, state in zip(some, states, strict=True) if state >= 0}
    return [held.get(attempt_of(beat)) for beat in beats]


def _told(worker: bytes, beats: Sequence[Beat]) -> Sequence[Argument]:
    rows = [(beat.claim, beat.lease, int(beat.progress is not None), int(beat.result is not None)) for beat in beats]
    blobs: list[Argument] = []
    for beat in beats:
        if beat.progress is not None:
            blobs.append(pack_progress(beat.progress))
        if beat.result is not None:
            blobs.append(beat.result)
    return worker, _pack(rows), b"".join([beat.id for beat in beats]), *blobs


def read_cancelling(session: Session, worker: int) -> list[tuple[bytes, int]]:
    """Return (id, claim) of the worker's jobs that were asked to cancel."""
    found: list[tuple[bytes, int]] = []
    after = b""
    while True:
        ids, claims, after = session.run(CANCELLING, worker_bytes(worker), after)
        found += zip(ids, claims, strict=True)
        if not after:
            return found


def rescue(
    session: Session, retention: int | None, dead_retention: int | None, limit: int
) -> tuple[list[Rescued], Collection[str]]:
    """Take back leases that have passed; return them, and the queues that have got jobs."""
    kept = [_FOR_EVER if each is None else each for each in (retention, dead_retention)]
    rescued: list[Rescued] = []
    freed: set[str] = set()
    while len(rescued) < limit:
        asked = min(limit - len(rescued), AT_ONCE // 2)
        ids, records, queues = session.run(RESCUE, *kept, asked, _LOST.type, _LOST.text)
        rescued += map(_rescued, ids, records)
        freed.update(queue.decode() for queue in queues)
        if len(ids) < asked:
            break
    return rescued, freed


def _rescued(id: bytes, record: bytes) -> Rescued:
    values: tuple[Any, ...] = FORM.unpack_from(record)
    queue, task, _, _ = read_names(record[FORM.size : -1])
    state, claim, worker, crashes = values[0], values[2], values[9], values[11]
    return Rescued(id, task, queue, claim, worker_number(worker), _states[state], crashes)
