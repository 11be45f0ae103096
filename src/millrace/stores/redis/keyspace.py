"""The keys of one deployment. Owns their names: one hash tag for all, so that they lie in one slot of a cluster."""

from __future__ import annotations

from functools import cached_property

from millrace.stores.redis.scripts import Script

__all__ = ["Keyspace"]


class Keyspace:
    """The keys under one prefix.

    Args:
        prefix: The deployment's; it stands in braces, which makes it the hash tag.

    >>> Keyspace("millrace").key("meta")
    b'{millrace}:meta'
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._head = f"{{{prefix}}}:".encode()
        self._bound: dict[str, tuple[bytes, ...]] = {}

    def key(self, suffix: str | bytes) -> bytes:
        """Return the key of a suffix."""
        return self._head + (suffix.encode() if isinstance(suffix, str) else suffix)

    def keys_of(self, script: Script) -> tuple[bytes, ...]:
        """Return the keys of a script, in its order."""
        found = self._bound.get(script.name)
        if found is None:
            found = self._bound[script.name] = tuple(self.key(suffix) for suffix in script.keys)
        return found

    @cached_property
    def wake(self) -> bytes:
        """The channel on which is told that a queue has got jobs; the message is its name."""
        return self.key("wake")

    def everywhere(self, channel: str) -> bytes:
        """Return the pattern of a channel of all queues' deployments, where each queue has its own.

        >>> Keyspace("millrace").everywhere("wake")
        b'{millrace/*}:wake'
        """
        return f"{{{self.prefix}/*}}:{channel}".encode()

    @cached_property
    def ends(self) -> bytes:
        """The channel on which is told that jobs have changed or ended; the message is empty."""
        return self.key("ends")
