"""Our statements for drivers that are not ours: their placeholders, plain arguments with their types, plain rows.

A text is rewritten once for each set of argument types, when it is first used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from millrace.stores.postgres.arrays import Array, Bigints, Booleans, Doubles, Strings, Uuid, Uuids

__all__ = ["named", "numbered", "plain_rows"]

_PLACEHOLDER = re.compile(r"%\((\w+)\)b|%%")

# What a driver that does not know our arrays must tell the server of each argument.
_CASTS: Mapping[type, str] = {
    Uuids: "::uuid[]",
    Bigints: "::bigint[]",
    Doubles: "::double precision[]",
    Booleans: "::boolean[]",
    Strings: "::text[]",
    Uuid: "::uuid",
    bool: "::boolean",
    int: "::bigint",
    float: "::double precision",
    str: "::text",
}

_Shape = tuple[str, tuple[tuple[str, str], ...]]  # a text, and the type of each of its arguments

_numbered: dict[_Shape, tuple[str, tuple[str, ...]]] = {}
_named: dict[_Shape, str] = {}


def numbered(text: str, args: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return a statement with `$1` in place of a name, and the arguments in that order.

    >>> numbered("select %(a)b, %(b)b, %(a)b, '%%'", {"a": 1, "b": Strings(["x"])})
    ("select $1::bigint, $2::text[], $1::bigint, '%'", (1, ['x']))
    """
    casts = _casts(args)
    found = _numbered.get((text, casts))
    if found is None:
        names: list[str] = []
        types = dict(casts)

        def number(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "%"
            if name not in names:
                names.append(name)
            return f"${names.index(name) + 1}{types[name]}"

        found = _numbered[text, casts] = _PLACEHOLDER.sub(number, text), tuple(names)
    return found[0], tuple([_plain(args[name]) for name in found[1]])


def named(text: str, args: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a statement in Python's plain form, `%(name)s`, and the arguments.

    >>> named("select %(a)b", {"a": Uuid(bytes(16))})
    ('select %(a)s::uuid', {'a': '00000000-0000-0000-0000-000000000000'})
    """
    casts = _casts(args)
    found = _named.get((text, casts))
    if found is None:
        types = dict(casts)

        def name(match: re.Match[str]) -> str:
            return "%%" if match[1] is None else f"%({match[1]})s{types[match[1]]}"

        found = _named[text, casts] = _PLACEHOLDER.sub(name, text)
    return found, {name: _plain(value) for name, value in args.items()}


def plain_rows(rows: Iterable[Iterable[Any]]) -> list[tuple[Any, ...]]:
    """Return rows as our own connections give them: ids and bytes as bytes.

    >>> plain_rows([[UUID(bytes=b"sixteen letters!"), 2]])
    [(b'sixteen letters!', 2)]
    """
    return [tuple([_read(value) for value in row]) for row in rows]


def _read(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.bytes
    if type(value) is memoryview:  # how psycopg 2 gives bytes
        return value.tobytes()
    if isinstance(value, list):
        return [_read(item) for item in cast("list[Any]", value)]
    return value


def _casts(args: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the type of each argument as the server calls it; of None it finds out by itself."""
    return tuple([(name, _CASTS.get(_type(value), "")) for name, value in args.items()])


def _type(value: object) -> type:
    return type(value)


def _plain(value: Any) -> Any:
    """Return an argument as every driver takes it; ids as text, which all of them do."""
    match value:
        case Uuid():
            return _uuid_text(value.value)
        case Uuids():
            return [None if item is None else _uuid_text(item) for item in value.items]
        case Strings():
            return [item.decode() if isinstance(item, bytes) else item for item in value.items]
        case Array():
            return list(value.items)
        case _:
            return value


def _uuid_text(id: bytes) -> str:
    return str(UUID(bytes=id))
