"""The schedules of the Redis store; see `stores.serverscheduler`."""

from __future__ import annotations

from millrace.stores.redis import schedules
from millrace.stores.redis.base import RedisServerStore
from millrace.stores.redis.session import Session
from millrace.stores.redis.wire import Connection
from millrace.stores.serverscheduler import ServerScheduler

__all__ = ["Scheduler"]


class Scheduler(RedisServerStore, ServerScheduler[Connection, Session]):
    """Keeps schedules."""

    _book = schedules
