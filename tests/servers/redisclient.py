"""A connection of a test's own to a Redis server: commands in, plain answers out, nothing tried twice."""

from __future__ import annotations

from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["RedisClient", "Word"]

PATIENCE = 30.0  # seconds: bounds a failure, measures nothing

Word = str | bytes | float


class RedisClient:
    """One connection, open until its `with` ends or it is closed.

    Args:
        url: Of the server, without the options of a store.
        told: What `redis.Redis` takes beside it.
    """

    def __init__(self, url: str, **told: Any) -> None:
        options = {"socket_timeout": PATIENCE, "protocol": 2, "single_connection_client": True, **told}
        library: Any = redis.Redis  # whose own types say nothing of what a command returns
        self._redis = library.from_url(url, retry=Retry(NoBackoff(), 0), **options)

    def run(self, *words: Word) -> Any:
        """Run one command."""
        return self._redis.execute_command(*words)

    def close(self) -> None:
        """Let go of the server."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
