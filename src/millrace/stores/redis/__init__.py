"""The Redis store: jobs under a prefix on a Redis or Valkey server, for workers on many machines."""

from __future__ import annotations

from millrace.clock import Clock
from millrace.stores.redis.sharded import ShardedRedisStore
from millrace.stores.redis.store import RedisStore
from millrace.stores.redis.url import read_url

__all__ = ["RedisStore", "ShardedRedisStore", "from_url"]


def from_url(url: str, *, clock: Clock | None = None) -> RedisStore | ShardedRedisStore:
    """Open the store of a URL such as `redis://ada@db.example:6379/0?prefix=shop`. Nothing is connected yet.

    Raises:
        ConfigurationError: It is no such URL, or has an option that is not known.

    >>> from_url("redis://ada:secret@db.example/0").url
    'redis://ada:***@db.example/0'
    >>> from_url("redis://db.example?shard=queue")
    ShardedRedisStore('redis://db.example?shard=queue')
    """
    settings = read_url(url)
    return (ShardedRedisStore if settings.shard else RedisStore)(settings, clock=clock)
