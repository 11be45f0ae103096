"""A primary and a standby that follows it without being waited for. Owns how the one takes over from the other."""

from __future__ import annotations

import time
from contextlib import ExitStack
from threading import Event
from typing import Self

from tests.faults.stage import wait_for
from tests.servers.cluster import DATABASE, OWNER, Cluster
from tests.servers.installations import newest

__all__ = ["Failover"]

SETTLED = 0.5  # seconds: after the primary's death, until whoever had an answer of it has written that down


class Failover:
    """Two servers of which the first is written, until the second takes over.

    Attributes:
        at: When it did, in nanoseconds of the monotonic clock; None before.
    """

    def __init__(self) -> None:
        self.at: int | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.primary = self._stack.enter_context(Cluster(newest(), {}))
        self.standby = self._stack.enter_context(self.primary.standby())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, **options: str) -> str:
        """How a store names both."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        told = {"target_session_attrs": "read-write", **options}
        return f"postgresql://{OWNER}@{hosts}/{DATABASE}?" + "&".join(f"{name}={text}" for name, text in told.items())

    def wait_until_followed(self) -> None:
        """Wait until the standby has all that the primary has."""
        ((at,),) = self.primary.run("select pg_current_wal_flush_lsn()::text")
        behind = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
        wait_for(lambda: self.standby.run(behind, at) == [(True,)], "the standby to follow")

    def forget_what_follows(self) -> None:
        """Let the standby lose its primary: what is written from now on will be gone."""
        self.standby.run("alter system set primary_conninfo = 'host=127.0.0.1 port=1'")
        self.standby.run("select pg_reload_conf()")
        wait_for(
            lambda: not self.standby.run("select pid from pg_stat_wal_receiver"), "the standby to lose its primary"
        )

    def take_over(self) -> None:
        """Let the primary crash, for good, and the standby be promoted; a second call does nothing."""
        if self.at is None:
            self.primary.stop("immediate")
            Event().wait(SETTLED)
            self.at = time.monotonic_ns()
            self.standby.promote()
