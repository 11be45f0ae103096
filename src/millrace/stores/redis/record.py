"""The record of a job in the hash `meta` and its body in `body`, as the scripts have them too (`scripts/_common.lua`).

What changes stands in a fixed form, first what a claim and a finish write, the names behind; a transition rewrites it
whole. 0 means "none" for the times of starting, lease and end, as no job has any of them in 1970, and for the reason.
The body is written once. Both end with a byte of salt: the scripts hold them as Lua strings, whose hash counts the last
byte and few others, and strings of one hash are looked through one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import msgspec

from millrace.holding import STARTED, scope_of
from millrace.states import JobState, Reason

__all__ = [
    "FORM",
    "FOR_EVER",
    "NOBODY",
    "NUMBERS",
    "REASONS",
    "REASON_NUMBERS",
    "STATES",
    "read_body",
    "read_names",
    "scope_name",
    "worker_bytes",
    "worker_number",
    "write_body",
    "write_names",
]

FORM: Final = struct.Struct(">BBIIIqqqq8sIIIhqq")
#: state, reason, claim, rev, attempt, started, lease, finished, expires, worker, max_attempts, crashes, max_crashes,
#: priority, due, created; then queue, NUL, task, NUL, unique key (empty: none), salt; behind the
#: key NUL and its scope, where it is not held for the length of the job's life.

NOBODY: Final = bytes(8)  #: no worker
FOR_EVER: Final = -1  #: the time at which a job goes that is kept for ever; 0 is one that has not ended

STATES: Final[tuple[JobState, ...]] = (
    JobState.SCHEDULED,
    JobState.PENDING,
    JobState.RUNNING,
    JobState.CANCELLING,
    JobState.FAILED,
    JobState.COMPLETED,
    JobState.DEAD,
    JobState.CANCELLED,
)
NUMBERS: Final[Mapping[JobState, int]] = {state: number for number, state in enumerate(STATES)}

REASONS: Final[tuple[Reason | None, ...]] = (None, *Reason)
REASON_NUMBERS: Final[Mapping[Reason | None, int]] = {reason: number for number, reason in enumerate(REASONS)}

_GROUP = b"\xff"  #: between the name of a task and a group: a byte that no text in UTF-8 has
_PLAIN = b"\0"  # a body without tags and options
_LENGTH = struct.Struct(">I")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[tuple[str, ...] | bool, str | bool]).decode


def worker_bytes(worker: int | None) -> bytes:
    """Pack a worker's number, which has 63 bits and is never 0.

    >>> worker_bytes(258).hex()
    '0000000000000102'
    """
    return NOBODY if worker is None else worker.to_bytes(8, "big", signed=True)


def worker_number(packed: bytes) -> int | None:
    """Read it.

    >>> worker_number(worker_bytes(258))
    258
    """
    return None if packed == NOBODY else int.from_bytes(packed, "big", signed=True)


def write_names(queue: str, task: str, key: str | None, scope: str | None = None, group: str | None = None) -> bytes:
    r"""Pack the names of a record, without its salt; a key may hold no NUL, and names neither.

    >>> write_names("mail", "send", None), write_names("mail", "send", "k", "started")
    (b'mail\x00send\x00', b'mail\x00send\x00k\x00started')
    """
    names = f"{queue}\0{task}\0{key or ''}".encode() if scope is None else f"{queue}\0{task}\0{key}\0{scope}".encode()
    if group is None:
        return names
    before = len(f"{queue}\0{task}".encode())
    return b"".join((names[:before], _GROUP, group.encode(), names[before:]))


def scope_name(options: bytes | None) -> str | None:
    """Say for how long a job of these options holds its key; None where that is its life, nearly always.

    >>> scope_name(b'{"until":"started"}'), scope_name(b'{"until":1.5}')
    ('started', '1500000')
    """
    scope = scope_of(options)
    return None if scope is None else "started" if scope == STARTED else str(scope)


def read_names(names: bytes) -> tuple[str, str, str | None, str | None]:
    """Read them, the group of a job that falls under limits behind.

    >>> read_names(write_names("mail", "send", "k", "started", "[1]"))
    ('mail', 'send', 'k', '[1]')
    """
    queue, task, key = names.split(b"\0", 2)
    task, mark, group = task.partition(_GROUP)
    own = key.partition(b"\0")[0].decode() or None
    return queue.decode(), task.decode(), own, group.decode() if mark else None


def write_body(id: bytes, args: bytes, tags: tuple[str, ...] = (), options: bytes | None = None) -> bytes:
    r"""Pack what a job is given for good.

    >>> write_body(bytes(16), b"{}")
    b'\x00{}\x00'
    """
    if not tags and options is None:
        return b"".join((_PLAIN, args, id[15:]))
    head = _pack((tags or False, False if options is None else options.decode()))
    return b"".join((b"\1", _LENGTH.pack(len(head)), head, args, id[15:]))


def read_body(body: bytes) -> tuple[bytes, tuple[str, ...], bytes | None]:
    """Return arguments, tags and options.

    >>> read_body(write_body(bytes(16), b"{}", ("a",), b'{"lease":1.0}'))
    (b'{}', ('a',), b'{"lease":1.0}')
    """
    if body[0] == 0:
        return body[1:-1], (), None
    end = 5 + _LENGTH.unpack_from(body, 1)[0]
    tags, options = _unpack(body[5:end])
    return (
        body[end:-1],
        tags if isinstance(tags, tuple) else (),
        options.encode() if isinstance(options, str) else None,
    )
