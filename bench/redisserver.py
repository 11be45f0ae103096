"""Owns the Redis server of one run: started at its first use, stopped at the end, on the cores that all others use.

It keeps what it is told in a log that is flushed every second, and rewrites that as it comes, by its own defaults. Each
measurement begins with an empty server and a short log. The newest one that the tests find is taken.
"""

from __future__ import annotations

import atexit
import time
from contextlib import ExitStack
from functools import cache
from typing import Any

from bench.trouble import BenchmarkError
from tests.servers.redisinstallations import newest_redis
from tests.servers.redisserver import EVERY_SECOND, RedisServer

#: What the tests' servers have otherwise: here all is as the server comes.
DEFAULTS = {**EVERY_SECOND, "auto-aof-rewrite-percentage": "100"}
SETTLE_SECONDS = 120.0
LOOK_SECONDS = 0.02


class Server:
    """The running server."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def describe(self) -> dict[str, object]:
        """Return what a result must say of it."""
        return {"redis": self._server.installation.version, "redis_appendfsync": DEFAULTS["appendfsync"]}

    def url(self, database: int = 0) -> str:
        """Return how clients name one of its databases."""
        return f"{self._server.url()}/{database}"

    def run(self, *words: str | bytes | float) -> Any:
        """Run one command on the first database."""
        return self._server.run(*words)

    def fresh(self) -> str:
        """Empty all databases, and the log with them; returns the URL of the first."""
        self.run("FLUSHALL")
        self.settle()
        self.run("BGREWRITEAOF")
        self.settle()
        return self.url()

    def settle(self) -> None:
        """Wait until the server is not rewriting its log, so that no child of it takes a core."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._rewriting():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the server has been rewriting its log for {SETTLE_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)

    def _rewriting(self) -> bool:
        told = self._server.info("persistence")
        return bool(told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])


@cache
def redis_server() -> Server:
    """Return the server of this run, started at the first call."""
    stack = ExitStack()
    atexit.register(stack.close)
    return Server(stack.enter_context(RedisServer(newest_redis(), DEFAULTS)))
