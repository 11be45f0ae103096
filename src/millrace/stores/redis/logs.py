"""Writing the log lines of a job that runs. Owns the fence's arguments; the form of a line stands in `attempts.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from millrace.records import LogRow
from millrace.stores.redis.pieces import pieces
from millrace.stores.redis.record import worker_bytes
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Call, Session

__all__ = ["LOG", "add_logs"]

LOG: Final = script("log")

_AT_ONCE = 500
_pack = msgspec.msgpack.Encoder().encode


def add_logs(session: Session, worker: int, lines: Sequence[LogRow]) -> list[bool]:
    """Write the log lines of claims that still hold; tell for each line whether it was written."""
    packed = worker_bytes(worker)
    texts = [_told(line) for line in lines]
    calls: list[Call] = []
    for piece in pieces([len(text) for text in texts], _AT_ONCE):
        some = lines[piece]
        claims, ids = _pack([line.claim for line in some]), b"".join([line.id for line in some])
        calls.append((LOG, (packed, claims, ids, *texts[piece])))
    return [bool(kept) for reply in session.trip(calls) for kept in reply]


def _told(line: LogRow) -> bytes:
    """Pack what follows on claim and attempt, without the head of the array, which the script writes."""
    return _pack((line.at, line.level, line.message, False if line.data is None else line.data.decode()))[1:]
