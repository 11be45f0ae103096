"""Writing the log lines of a job that runs. Owns the fence's arguments; the form of a line stands in `attempts.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from millrace.records import LogRow
from millrace.stores.redis.record import worker_bytes
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["LOG", "add_logs"]

LOG: Final = script("log")

_AT_ONCE = 500
_MOST_BYTES = 4 << 20
_pack = msgspec.msgpack.Encoder().encode


def add_logs(session: Session, worker: int, lines: Sequence[LogRow]) -> list[bool]:
    """Write the log lines of claims that still hold; tell for each line whether it was written."""
    packed = worker_bytes(worker)
    calls = [
        (LOG, (packed, _pack([line.claim for line in some]), b"".join([line.id for line in some]), *texts))
        for some, texts in _chunks(lines)
    ]
    return [bool(kept) for reply in session.trip(calls) for kept in reply]


def _chunks(lines: Sequence[LogRow]) -> Iterator[tuple[Sequence[LogRow], Sequence[bytes]]]:
    """Cut a call into what one script may take."""
    texts = [_told(line) for line in lines]
    first = size = 0
    for place, text in enumerate(texts):
        size += len(text)
        if place > first and (place - first == _AT_ONCE or size > _MOST_BYTES):
            yield lines[first:place], texts[first:place]
            first, size = place, len(text)
    yield lines[first:], texts[first:]


def _told(line: LogRow) -> bytes:
    """Pack what follows on claim and attempt, without the head of the array, which the script writes."""
    return _pack((line.at, line.level, line.message, False if line.data is None else line.data.decode()))[1:]
