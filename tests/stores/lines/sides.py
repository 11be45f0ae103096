"""The two kinds of server as these tests see them: what is done to one, and how it is spoken to. Owns no assertion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from types import ModuleType
from typing import Any

from millrace.clock import SECOND, Clock
from millrace.stores.postgres import connection as postgres_connection
from millrace.stores.postgres import line as postgres_line
from millrace.stores.postgres import session as postgres_session
from millrace.stores.postgres.base import PostgresServerStore
from millrace.stores.redis import line as redis_line
from millrace.stores.redis import session as redis_session
from millrace.stores.redis import wire as redis_wire
from millrace.stores.redis.base import RedisServerStore
from tests.servers.cluster import Cluster
from tests.servers.redisserver import RedisServer
from tests.stores.lines.bare import AnyBare, Bare
from tests.stores.lines.holding import Holding, PostgresHolding, RedisHolding

__all__ = ["PostgresBare", "PostgresSide", "RedisBare", "RedisSide", "Side"]


class PostgresBare(Bare[postgres_connection.Connection, postgres_session.Session], PostgresServerStore):
    """A PostgreSQL store without verbs."""


class RedisBare(Bare[redis_wire.Connection, redis_session.Session], RedisServerStore):
    """A Redis store without verbs."""


class Side(ABC):
    """A server that a test may crash, and the stores that it opens there."""

    line: ModuleType  #: where its connections are made
    answer: object  #: what `ask` returns
    nowhere: str  #: a URL where no server is, with a password and patience

    def __init__(self) -> None:
        self._stores: list[AnyBare] = []

    def open(self, *, port: int | None = None, clock: Clock | None = None, **options: str) -> AnyBare:
        """Open a store, by another port where a proxy stands before the server."""
        return self.open_url(self.url(port=port, **options), clock)

    def open_url(self, url: str, clock: Clock | None = None) -> AnyBare:
        """Open a store by URL."""
        self._stores.append(self._bare(url, clock))
        return self._stores[-1]

    def close_stores(self) -> None:
        """Close every store that was opened."""
        for store in self._stores:
            store.close()
        self._stores.clear()

    @property
    @abstractmethod
    def port(self) -> int:
        """The server's."""

    @abstractmethod
    def url(self, *, port: int | None = None, **options: str) -> str:
        """How a store names the server."""

    @abstractmethod
    def _bare(self, url: str, clock: Clock | None) -> AnyBare: ...

    @abstractmethod
    def whole(self, *, port: int | None = None, clock: Clock) -> Holding:
        """Open a store with all its verbs, every statement or script in one piece. Whoever opens it closes it."""

    # -- what is done to it

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it takes connections."""

    @abstractmethod
    def crash(self) -> None:
        """Stop it at once."""

    @abstractmethod
    def end_sessions(self) -> int:
        """End every session, and return how many there were."""

    @abstractmethod
    def empty(self) -> None:
        """Remove all that is ours."""

    # -- what it tells

    @abstractmethod
    def connections(self) -> Counter[str]:
        """Count our connections by their names."""

    @abstractmethod
    def numbers(self) -> set[int]:
        """Return the numbers of all connections."""

    # -- bodies, and a hint

    @abstractmethod
    def ask(self, session: Any) -> object:
        """Ask for as little as can be."""

    @abstractmethod
    def ask_number(self, session: Any) -> int:
        """Ask for the number of the connection."""

    @abstractmethod
    def ask_time(self, session: Any) -> int:
        """Ask for the server's time, in microseconds."""

    @abstractmethod
    def tell(self, store: AnyBare, queue: str) -> None:
        """Have other processes told that there are jobs in a queue."""


class PostgresSide(Side):
    """A PostgreSQL server."""

    line = postgres_line
    answer = 1
    nowhere = "postgresql://ann:s3cret@127.0.0.1:1/jobs?deadline=600"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    @property
    def port(self) -> int:
        return self._cluster.port

    def url(self, *, port: int | None = None, **options: str) -> str:
        return self._cluster.url(port=port, **options)

    def _bare(self, url: str, clock: Clock | None) -> AnyBare:
        return PostgresBare(url, clock=clock)

    def whole(self, *, port: int | None = None, clock: Clock) -> Holding:
        # Nothing is prepared first and no notice goes out, so that the reply which is cut is that of the statement.
        return PostgresHolding(self.url(port=port, prepare="off", notify="off"), clock=clock)

    def start(self) -> None:
        self._cluster.start()

    def crash(self) -> None:
        self._cluster.stop("immediate")

    def end_sessions(self) -> int:
        return self._cluster.terminate_all()

    def empty(self) -> None:
        self._cluster.run("drop schema if exists millrace cascade")

    def connections(self) -> Counter[str]:
        names = self._cluster.run(
            "select application_name from pg_stat_activity where application_name like 'millrace%'"
        )
        return Counter(name for (name,) in names)

    def numbers(self) -> set[int]:
        return {pid for (pid,) in self._cluster.run("select pid from pg_stat_activity")}

    def ask(self, session: postgres_session.Session) -> object:
        return session.rows("select 1")[0][0]

    def ask_number(self, session: postgres_session.Session) -> int:
        number: int = session.rows("select pg_backend_pid()::bigint")[0][0]
        return number

    def ask_time(self, session: postgres_session.Session) -> int:
        at: int = session.rows("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")[0][0]
        return at

    def tell(self, store: AnyBare, queue: str) -> None:
        store.changed(queue)


class RedisSide(Side):
    """A Redis or Valkey server."""

    line = redis_line
    answer = b"PONG"
    nowhere = "redis://ann:s3cret@127.0.0.1:1/0?deadline=600"

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server

    @property
    def port(self) -> int:
        return self._server.port

    def url(self, *, port: int | None = None, **options: str) -> str:
        return self._server.url(port=port, **options)

    def _bare(self, url: str, clock: Clock | None) -> AnyBare:
        return RedisBare(url, clock=clock)

    def whole(self, *, port: int | None = None, clock: Clock) -> Holding:
        return RedisHolding(self.url(port=port), clock=clock)

    def start(self) -> None:
        self._server.start()

    def crash(self) -> None:
        self._server.kill()

    def end_sessions(self) -> int:
        return self._server.end_sessions()

    def empty(self) -> None:
        self._server.run("FLUSHALL")

    def connections(self) -> Counter[str]:
        names = [client["name"].replace("-", " ") for client in self._clients()]
        return Counter(name for name in names if name.startswith("millrace"))

    def numbers(self) -> set[int]:
        return {int(client["id"]) for client in self._clients()}

    def _clients(self) -> list[dict[str, str]]:
        lines: bytes = self._server.run("CLIENT", "LIST")
        return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines.decode().splitlines()]

    def ask(self, session: redis_session.Session) -> object:
        return session.command("PING")

    def ask_number(self, session: redis_session.Session) -> int:
        number: int = session.command("CLIENT", "ID")
        return number

    def ask_time(self, session: redis_session.Session) -> int:
        seconds, micros = session.command("TIME")
        return int(seconds) * SECOND + int(micros)

    def tell(self, store: AnyBare, queue: str) -> None:
        store.write(lambda session: session.command("PUBLISH", "{millrace}:wake", queue))
