"""The version of the layout of our keys, which stands among them. Owns that it is written once and never mistaken."""

from __future__ import annotations

from millrace.errors import SchemaMismatch
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.wire import Connection

__all__ = ["FORMAT", "found", "settle"]

FORMAT = 1  #: of this version of Millrace
_BY_QUEUE = b" by queue"  # behind it, where each queue is a deployment of its own: this one then holds no jobs


def found(connection: Connection, keys: Keyspace) -> int | None:
    """Return the version of the layout that is there; None where there is none.

    Raises:
        ValueError: There is something else.
    """
    return _version(_read(connection, keys))


def settle(connection: Connection, keys: Keyspace, settings: Settings) -> bool:
    """See that the layout is ours; write that it is where nothing is there. Tell whether it was written.

    Raises:
        SchemaMismatch: It is another one.
    """
    text = _read(connection, keys)
    try:
        there = _version(text)
    except ValueError:
        raise SchemaMismatch(
            f"the key {keys.key('format').decode()} of {settings.url} is not Millrace's; choose another ?prefix="
        ) from None
    if there is None:
        return bool(connection.command("SET", keys.key("format"), _written(settings), "NX"))
    if there > FORMAT:
        raise SchemaMismatch(
            f"prefix {settings.prefix!r} of {settings.url} was written by a newer Millrace (layout {there}, this one "
            f"knows {FORMAT}); upgrade it here"
        )
    if there < FORMAT:
        raise SchemaMismatch(
            f"prefix {settings.prefix!r} of {settings.url} has layout {there}, and this Millrace needs {FORMAT}; empty "
            "it with the old one and choose another ?prefix="
        )
    if text != _written(settings):
        is_so, mend = ("not ", "leave ?shard=queue out") if settings.shard else ("", "give ?shard=queue")
        raise SchemaMismatch(
            f"prefix {settings.prefix!r} of {settings.url} is {is_so}spread by queue; {mend}, or choose "
            "another ?prefix="
        )
    return False


def _read(connection: Connection, keys: Keyspace) -> bytes | None:
    text: bytes | None = connection.command("GET", keys.key("format"))
    return text


def _version(text: bytes | None) -> int | None:
    return None if text is None else int(text.removesuffix(_BY_QUEUE))


def _written(settings: Settings) -> bytes:
    return b"%d" % FORMAT + (_BY_QUEUE if settings.shard else b"")
