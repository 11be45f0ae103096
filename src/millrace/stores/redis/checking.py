"""Proving that all keys agree: each job is in the places that its record says and in no other, and counts are right.

Owns the walk, over all or over a sample; what is looked at stands in the scripts `deep`, `orphans` and `sums`. It goes
in short looks, between which others may change what they like: each look is true by itself. Nothing is changed.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final
from uuid import UUID

from millrace.stores.redis.looks import Look, look_once
from millrace.stores.redis.scripts import script
from millrace.stores.redis.session import Session

__all__ = ["find_faults", "find_some_faults"]

DEEP: Final = script("deep")
ORPHANS: Final = script("orphans")
SUMS: Final = script("sums")

_ENOUGH = 100  #: faults; who has more need not read them
_ID_BYTES = 16
_STRETCH = 200  #: jobs that one look takes
_STRETCHES = 10  #: of a sample

#: Keys whose members are looked at one by one.
_PLACES: Final = ("meta", "body", "result", "error", "progress", "later", "lease", "ended", "uniq", "turns")
_ODD: Final = ("3", "4", "6", "7")
_FAMILIES: Final = ("line", "tag", "tasks", "ticks")  #: whose names go on
_KNOWN: Final = frozenset(
    {*_PLACES, "odd", "all", "counts", "queues", "workers", "locks", "serial", "format", "schedules", "schedules_due"}
    | {"live", "bucket", "parties"}
)
_ESCAPED = re.compile(rb"([\\*?\[\]])")


def find_faults(look: Look, *, most: int = _ENOUGH) -> list[str]:
    """Return what does not agree, a sentence each, and nothing where all does.

    Args:
        look: For reading.
        most: So many sentences will do.
    """
    return list(islice(_faults(look), most))


def find_some_faults(look: Look, *, most: int = _ENOUGH) -> tuple[list[str], int, int]:
    """Do the same with all counts, but only with a sample of the rest: some 25 looks, however many jobs there are.

    Args:
        look: For reading.
        most: So many sentences will do.

    Returns:
        What does not agree, how many jobs were looked at, and how many there are.
    """
    starts, jobs = look(_starts)
    looked: Counter[str] = Counter()
    found = list(islice(_some_faults(look, starts, looked), most))
    return found, looked.total(), jobs


def _starts(session: Session) -> tuple[list[bytes], int]:
    """Return the ids behind which the stretches of a sample begin, and how many jobs there are.

    The first stretch begins at the oldest job and the last ends at the newest; those between are left to chance.
    """
    key = session.keys.key("all")
    jobs = int(session.command("ZCARD", key))
    last = jobs - _STRETCH - 1
    if last < _STRETCH * _STRETCHES:
        places: Iterable[int] = range(_STRETCH - 1, jobs - 1, _STRETCH)
    else:
        places = sorted({*random.sample(range(last), _STRETCHES - 2), last})
    return [b"", *(id for place in places for id in session.command("ZRANGE", key, place, place))], jobs


def _some_faults(look: Look, starts: Iterable[bytes], looked: Counter[str]) -> Iterator[str]:
    yield from _sums(look)
    for start in starts:
        _, told, faults = look_once(look, DEEP, start)
        looked.update(_counter(told))
        yield from _told(faults)
    for place in _PLACES:
        yield from _orphans(look, place, b"", looks=1)
    for state in _ODD:
        yield from _orphans(look, "odd", state.encode(), looks=1)


def _faults(look: Look) -> Iterator[str]:
    before = yield from _sums(look)
    numbers = yield from _jobs(look)
    after = yield from _sums(look)
    if before == after and numbers != after:  # else there were changes on the way, and the walk met no one moment
        for field in sorted(numbers.keys() | after.keys()):
            if numbers[field] != after[field]:
                yield f"counts say {after[field]} of {field}, and there are {numbers[field]}"
    for place in _PLACES:
        yield from _orphans(look, place, b"")
    for state in _ODD:
        yield from _orphans(look, "odd", state.encode())
    yield from _families(look)


def _sums(look: Look) -> Generator[str, None, Counter[str]]:
    differing, counts = look_once(look, SUMS)
    for what, counted, there in zip(differing[::3], differing[1::3], differing[2::3], strict=True):
        yield f"the counts say {counted} where there are {there}: {_text(what)}"
    return _counter(counts)


def _jobs(look: Look) -> Generator[str, None, Counter[str]]:
    numbers: Counter[str] = Counter()
    after = b""
    while True:
        after, told, faults = look_once(look, DEEP, after)
        numbers += _counter(told)
        yield from _told(faults)
        if not after:
            return numbers


def _told(faults: Sequence[bytes]) -> Iterator[str]:
    for id, what in zip(faults[::2], faults[1::2], strict=True):
        yield f"job {UUID(bytes=id)} {_text(what)}"


def _counter(told: Sequence[Any]) -> Counter[str]:
    return Counter({_text(field): int(number) for field, number in zip(told[::2], told[1::2], strict=True)})


def _orphans(look: Look, kind: str, name: bytes, *, looks: int = sys.maxsize) -> Iterator[str]:
    cursor: Any = 0
    for _ in range(looks):
        cursor, orphans = look_once(look, ORPHANS, kind, name, cursor)
        where = f"{kind}:{_text(name)}" if name and kind in _FAMILIES else kind
        for orphan in orphans:
            yield f"{_text(orphan)} stands in {where} and does not belong there"
        if int(cursor) == 0:
            return


def _families(look: Look) -> Iterator[str]:
    """Look at the keys whose names only the data tell."""
    head = look(lambda session: session.keys.key(""))
    like = _ESCAPED.sub(rb"\\\1", head) + b"*"
    cursor: Any = 0
    while True:
        cursor, found = look(partial(_scan, cursor, like))
        lists: dict[str, list[bytes]] = {"attempts": [], "log": []}
        for key in found:
            family, _, name = key.removeprefix(head).partition(b":")
            kind = _text(family)
            if kind in _FAMILIES:
                yield from _orphans(look, kind, name)
            elif kind in lists and len(name) == _ID_BYTES:
                lists[kind].append(name)
            elif kind not in _KNOWN:
                yield f"key {_text(key)} is none of ours"
        for kind, ids in lists.items():
            if ids:
                yield from _orphans(look, kind, b"".join(ids))
        if int(cursor) == 0:
            return


def _scan(cursor: Any, like: bytes, session: Session) -> Any:
    return session.command("SCAN", cursor, "MATCH", like, "COUNT", 500)


def _text(name: bytes) -> str:
    """Write a name or an id as people can read it."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return str(UUID(bytes=name)) if len(name) == _ID_BYTES else repr(name)
