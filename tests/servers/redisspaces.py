"""A prefix on some Redis server, empty for each test. Owns how it is emptied: by its own keys, whoever's the others."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

from tests.servers.redisclient import RedisClient, Word
from tests.servers.redisinstallations import newest_redis, redis_installations
from tests.servers.redisserver import RedisServer

__all__ = ["NAMED", "RedisPark", "RedisSpace", "all_redis_names", "open_redis_park", "redis_names", "told_of_redis"]

#: Names a server to test on in place of those that the tests start. Only keys with the tests' own prefix are touched.
NAMED = "MILLRACE_TEST_REDIS"
PREFIX = "millrace_test"
PAGE = 1000


class RedisSpace:
    """A server and the prefix on it that a test may do with as it likes.

    Args:
        server: A URL without a query.
        prefix: Of the keys; none may be there but those of tests.
    """

    def __init__(self, server: str, prefix: str = PREFIX) -> None:
        self.server = server
        self.prefix = prefix
        self._admin = RedisClient(server)
        self.empty()

    def url(self, **options: str) -> str:
        """How a store names it."""
        given = {"prefix": self.prefix, **options}
        return self.server + "?" + "&".join(f"{name}={quote(value)}" for name, value in given.items())

    def key(self, suffix: str | bytes) -> bytes:
        """The key of a suffix."""
        return f"{{{self.prefix}}}:".encode() + (suffix.encode() if isinstance(suffix, str) else suffix)

    def run(self, *words: Word) -> Any:
        """Run one command."""
        return self._admin.run(*words)

    def keys(self) -> set[bytes]:
        """Return every key there is under the prefix, those of queues spread under it too."""
        found: set[bytes] = set()
        cursor: Word = 0
        while True:
            cursor, page = self.run("SCAN", cursor, "MATCH", f"{{{self.prefix}[}}/]*", "COUNT", PAGE)
            found.update(page)
            if not int(cursor):
                return found

    def empty(self) -> None:
        """Delete every key under the prefix, and no other."""
        keys = list(self.keys())
        for first in range(0, len(keys), PAGE):
            self.run("UNLINK", *keys[first : first + PAGE])

    def close(self) -> None:
        """Leave nothing of ours there, and let go of the server."""
        self.empty()
        self._admin.close()


class RedisPark:
    """The servers of one run: each is started when it is first asked for, and stopped with the run."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._spaces: dict[str, RedisSpace] = {}

    def space(self, name: str) -> RedisSpace:
        """Return the prefix on the server of a name, started by now."""
        if name not in self._spaces:
            space = self._spaces[name] = RedisSpace(self._server(name))
            self._stack.callback(space.close)
        return self._spaces[name]

    def _server(self, name: str) -> str:
        if name == "named":
            return os.environ[NAMED].partition("?")[0]
        installation = next(each for each in redis_installations() if each.name == name)
        return self._stack.enter_context(RedisServer(installation)).url()

    def close(self) -> None:
        """Stop them all."""
        self._stack.close()


@contextmanager
def open_redis_park() -> Generator[RedisPark]:
    """Open the servers of a run, and stop them at its end."""
    park = RedisPark()
    try:
        yield park
    finally:
        park.close()


def redis_names() -> list[str]:
    """Name the servers that every test of the store runs on: the oldest, and last the one that stands for all."""
    if NAMED in os.environ:
        return ["named"]
    oldest, newest = redis_installations()[0].name, newest_redis().name
    return [oldest] if oldest == newest else [oldest, newest]


def all_redis_names() -> list[str]:
    """Name every server there is, for what takes no long time on each."""
    return ["named"] if NAMED in os.environ else [each.name for each in redis_installations()]


def told_of_redis() -> str:
    """Say in a line what there is to test on."""
    servers = f"the one that {NAMED} names" if NAMED in os.environ else ", ".join(map(str, redis_installations()))
    lone = len(redis_installations()) == 1
    beside = "; no other, so one version is tested (apt-get install redis-server)" if lone else ""
    tls = "" if any(each.has_tls for each in redis_installations()) else "; none with TLS, so its tests are skipped"
    return f"Redis: {servers}; faults on {newest_redis()}{beside}{tls}"
