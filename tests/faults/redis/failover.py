"""A primary, a replica that follows it without being waited for, and the one address that leads to whoever is primary.

Owns how the one takes over from the other. The address is a proxy: as with a managed service, clients never learn that
there are two.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from threading import Event
from typing import Self

from tests.faults.stage import wait_for
from tests.servers.proxy import Proxy
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import EVERY_SECOND, RedisServer

__all__ = ["RedisFailover"]

SETTLED = 0.5  # seconds: after the primary's death, until whoever had an answer of it has written that down


class RedisFailover:
    """Two servers of which the first is written, until the second takes over.

    Attributes:
        at: When it did, in nanoseconds of the monotonic clock; None before.
    """

    def __init__(self) -> None:
        self.at: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        start = self._stack.enter_context
        try:
            self.primary = start(RedisServer(newest_redis(), EVERY_SECOND))
            self.replica = start(self.primary.replica())
            self._proxy = start(Proxy(self.primary.port))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, **options: str) -> str:
        """How a store names the address."""
        return self.primary.url(port=self._proxy.port, **options)

    def wait_until_followed(self) -> None:
        """Wait until the replica has all that the primary has."""
        written = self.primary.info("replication")["master_repl_offset"]
        wait_for(lambda: self.replica.info("replication")["slave_repl_offset"] >= written, "the replica to have it all")

    def forget_what_follows(self) -> None:
        """Let the replica lose its primary: what is written from now on will be gone."""
        self.replica.promote()

    def take_over(self) -> None:
        """Let the primary die, for good, and the replica be promoted; a second call does nothing."""
        if self.at is None:
            self.primary.kill()
            Event().wait(SETTLED)
            self.at = time.monotonic_ns()
            self.replica.promote()
            self._proxy.target(self.replica.port)
