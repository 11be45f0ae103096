"""The version of the layout of our keys, which stands among them. Owns that it is written once and never mistaken."""

from __future__ import annotations

from millrace.errors import SchemaMismatch
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.wire import Connection

__all__ = ["FORMAT", "found", "settle"]

FORMAT = 1  #: of this version of Millrace


def found(connection: Connection, keys: Keyspace) -> int | None:
    """Return the version of the layout that is there; None where there is none.

    Raises:
        ValueError: There is something else.
    """
    text = connection.command("GET", keys.key("format"))
    return None if text is None else int(text)


def settle(connection: Connection, keys: Keyspace, settings: Settings) -> bool:
    """See that the layout is ours; write that it is where nothing is there. Tell whether it was written.

    Raises:
        SchemaMismatch: It is another one.
    """
    try:
        there = found(connection, keys)
    except ValueError:
        raise SchemaMismatch(
            f"the key {keys.key('format').decode()} of {settings.url} is not Millrace's; choose another ?prefix="
        ) from None
    if there is None:
        return bool(connection.command("SET", keys.key("format"), FORMAT, "NX"))
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
    return False
