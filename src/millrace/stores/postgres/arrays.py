"""Lists of values as arguments: packed at once into the server's own binary form. Owns that form; knows no statement.

The driver would look at each item's type by itself, which costs more than the statement does. A wrapper keeps its
`items` plain, for a caller's driver that has another way to send them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, ClassVar

from psycopg import adapt, pq

__all__ = ["Array", "Bigints", "Booleans", "Doubles", "Strings", "Uuid", "Uuids", "register"]

_HEADER = struct.Struct("!iiIii")  # dimensions, whether there are nulls, type of the items, their number, the first's
_EMPTY = struct.Struct("!iiI")
_NULL = struct.pack("!i", -1)
_UUID_LENGTH = struct.pack("!i", 16)
_ITEM_BIGINT = struct.Struct("!iq")
_ITEM_DOUBLE = struct.Struct("!id")
_LENGTH = struct.Struct("!i")
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"


class Array:
    """A list of values of one type."""

    __slots__ = ("items",)

    array_oid: ClassVar[int]  #: the server's number of the type
    item_oid: ClassVar[int]  #: and of that of its items

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def packed(self) -> bytes:
        """Return the array in the server's binary form."""
        if not self.items:
            return _EMPTY.pack(0, 0, self.item_oid)
        return _HEADER.pack(1, 1 if None in self.items else 0, self.item_oid, len(self.items), 1) + self._body()

    def _body(self) -> bytes:
        raise NotImplementedError


class Uuids(Array):
    """Ids of 16 bytes, as `uuid[]`."""

    __slots__ = ()
    array_oid, item_oid = 2951, 2950

    def _body(self) -> bytes:
        return b"".join([_NULL if item is None else _UUID_LENGTH + item for item in self.items])


class Bigints(Array):
    """Integers or None, as `bigint[]`; a column of a smaller type takes them too."""

    __slots__ = ()
    array_oid, item_oid = 1016, 20

    def _body(self) -> bytes:
        pack = _ITEM_BIGINT.pack
        return b"".join([_NULL if item is None else pack(8, item) for item in self.items])


class Doubles(Array):
    """Floats or None, as `double precision[]`."""

    __slots__ = ()
    array_oid, item_oid = 1022, 701

    def _body(self) -> bytes:
        pack = _ITEM_DOUBLE.pack
        return b"".join([_NULL if item is None else pack(8, item) for item in self.items])


class Booleans(Array):
    """True, False or None, as `boolean[]`."""

    __slots__ = ()
    array_oid, item_oid = 1000, 16

    def _body(self) -> bytes:
        return b"".join([_NULL if item is None else _TRUE if item else _FALSE for item in self.items])


class Strings(Array):
    """Strings, UTF-8 bytes or None, as `text[]`."""

    __slots__ = ()
    array_oid, item_oid = 1009, 25

    def _body(self) -> bytes:
        pack = _LENGTH.pack
        parts: list[bytes] = []
        for item in self.items:
            if item is None:
                parts.append(_NULL)
                continue
            data = item.encode() if isinstance(item, str) else item
            parts += (pack(len(data)), data)
        return b"".join(parts)


class Uuid:
    """One id of 16 bytes, as `uuid`."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value


class _ArrayDumper(adapt.Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.packed()


class _UuidDumper(adapt.Dumper):
    format = pq.Format.BINARY
    oid = 2950

    def dump(self, obj: Uuid) -> bytes:
        return obj.value


class _UuidLoader(adapt.Loader):
    """A uuid read as the 16 bytes that it is."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)


_DUMPERS: dict[type[Array], type[_ArrayDumper]] = {
    kind: type(f"_{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.array_oid})
    for kind in (Uuids, Bigints, Doubles, Booleans, Strings)
}


def register(adapters: adapt.AdaptersMap) -> None:
    """Teach a connection or a cursor our types; an int is always a bigint, so that each text is prepared only once."""
    from psycopg.types.numeric import Int8BinaryDumper

    for kind, dumper in _DUMPERS.items():
        adapters.register_dumper(kind, dumper)
    adapters.register_dumper(Uuid, _UuidDumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_loader("uuid", _UuidLoader)
