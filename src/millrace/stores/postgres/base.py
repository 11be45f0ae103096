"""A PostgreSQL server as a store: what a session on it is made of, and the migrations. Owns no verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from millrace.clock import Clock
from millrace.messages import Finding
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.health import find_trouble
from millrace.stores.postgres.home import Home
from millrace.stores.postgres.migrations import to_sql
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.settings import Settings
from millrace.stores.postgres.strays import give_back, still_held
from millrace.stores.postgres.texts import Texts
from millrace.stores.postgres.url import read_url
from millrace.stores.serverhome import ServerHome
from millrace.stores.serverstore import ServerStore

__all__ = ["PostgresServerStore"]

T = TypeVar("T")


class PostgresServerStore(ServerStore[Connection, Session]):
    """What the parts of `PostgresStore` share.

    Args:
        url: `postgresql://user@host/database`, with our options in the query; see `url`. Or what it says, read.
        clock: Where the time comes from; None is the server's clock.
    """

    def __init__(self, url: str | Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings = read_url(url) if isinstance(url, str) else url
        self._texts = Texts(settings.schema, light=not settings.claim_commit)
        self._clock = clock
        super().__init__(settings.url, lambda: Home(settings, clock))

    def script(self, *, since: int = 0) -> list[str]:
        """Return the migrations after a version as statements, without connecting."""
        return to_sql(self._settings.schema, since)

    def _bound(
        self, home: ServerHome[Connection], body: Callable[[Session], T], now: int | None, *, again: bool = False
    ) -> Callable[[Connection, bool], T]:
        texts = self._texts
        if now is None:
            now = home.time.given()
        return lambda connection, repeated: body(Session(connection, texts, now, again=again or repeated))

    def _find_trouble(self, connection: Connection) -> list[Finding]:
        return find_trouble(self._settings, connection)

    def _give_back(self, session: Session, worker: int, held: Sequence[bytes]) -> int:
        return give_back(session, worker, held)

    def _still_held(self, session: Session, worker: int, ids: Sequence[bytes]) -> list[bytes]:
        return still_held(session, worker, ids)
