"""A Redis server as a store: what a session on it is made of. Owns no verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, Unpack

from millrace.clock import Clock
from millrace.errors import ConfigurationError
from millrace.messages import Finding
from millrace.stores.redis.borrowed import RedisOptions, settings_of
from millrace.stores.redis.health import find_trouble
from millrace.stores.redis.home import Home
from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.session import Session
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.strays import give_back, still_held
from millrace.stores.redis.wire import Connection
from millrace.stores.serverhome import ServerHome
from millrace.stores.serverstore import ServerStore

__all__ = ["RedisServerStore"]

T = TypeVar("T")


class RedisServerStore(ServerStore[Connection, Session]):
    """What the parts of `RedisStore` share.

    Args:
        url: `redis://user:password@host:6379/0`, with our options in the query; see `url`. Or what it says, read.
        client: In place of a URL: a client of redis-py or valkey, for connections of ours to the same server.
        clock: Where the time comes from; None is the server's clock.
        options: What may stand in the query of a URL.
    """

    _by_queue = False  # whether it shares the queues out

    def __init__(
        self,
        url: str | Settings | None = None,
        *,
        client: Any = None,
        clock: Clock | None = None,
        **options: Unpack[RedisOptions],
    ) -> None:
        if self._by_queue and client is not None:
            options.setdefault("shard", True)
        self._settings = settings = settings_of(url, client, options)
        if settings.shard is not self._by_queue:
            raise ConfigurationError(f"{settings.url} is not for {type(self).__name__}; open it by open_store()")
        self._keys = keys = Keyspace(settings.tag)
        self._clock = clock
        super().__init__(settings.url, lambda: Home(settings, keys, clock))

    def _bound(
        self, home: ServerHome[Connection], body: Callable[[Session], T], now: int | None, *, again: bool = False
    ) -> Callable[[Connection, bool], T]:
        keys = self._keys
        if now is None:
            now = home.time.given()
        return lambda connection, repeated: body(Session(connection, keys, now, again=again or repeated))

    def _find_trouble(self, connection: Connection) -> list[Finding]:
        return find_trouble(self._settings, self._keys, connection)

    def _give_back(self, session: Session, worker: int, held: Sequence[bytes]) -> int:
        return give_back(session, worker, held)

    def _still_held(self, session: Session, worker: int, ids: Sequence[bytes]) -> list[bytes]:
        return still_held(session, worker, ids)
