"""The ways to a transaction of one's own, one for each library: begun, written in, committed or rolled back.

All are used alike, so that a test says once what holds for every one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
import psycopg
import sqlalchemy
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from millrace import Job, Millrace, NewJob, Task
from tests.stores.libraries import ALIAS, django_connection

__all__ = ["WAYS", "Way", "with_driver"]

T = TypeVar("T")


def with_driver(url: str, driver: str) -> str:
    """Name a driver in a URL, as SQLAlchemy has it."""
    return url.replace("postgresql://", f"postgresql+{driver}://")


class Way:
    """A transaction in a library without waiting.

    Attributes:
        connection: What is given as `connection=`.
    """

    connection: Any

    def __init__(self, url: str) -> None:
        self.open(url)

    def open(self, url: str) -> None:
        """Connect, and begin where the library does not by itself."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Write as the caller would."""
        self.connection.execute(statement)

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()

    def enqueue(self, task: Task[..., Any], *args: Any, **options: Any) -> Job[Any]:
        return task.using(connection=self.connection, **options).enqueue(*args)

    def enqueue_one(self, app: Millrace, job: NewJob) -> Job[Any]:
        return app.enqueue(job, connection=self.connection)

    def enqueue_many(self, app: Millrace, jobs: Sequence[NewJob]) -> list[Job[Any]]:
        return app.enqueue_many(jobs, connection=self.connection)


class Awaited(Way):
    """A transaction in a library that is awaited."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        super().__init__(url)

    def run(self, waiting: Awaitable[T]) -> T:
        async def wait() -> T:
            return await waiting

        return self.runner.run(wait())

    def execute(self, statement: str) -> None:
        self.run(self.connection.execute(statement))

    def commit(self) -> None:
        self.run(self.connection.commit())

    def rollback(self) -> None:
        self.run(self.connection.rollback())

    def close(self) -> None:
        self.run(self.connection.close())
        self.runner.close()

    def enqueue(self, task: Task[..., Any], *args: Any, **options: Any) -> Job[Any]:
        return self.run(task.using(connection=self.connection, **options).aenqueue(*args))

    def enqueue_one(self, app: Millrace, job: NewJob) -> Job[Any]:
        return self.run(app.aio.enqueue(job, connection=self.connection))

    def enqueue_many(self, app: Millrace, jobs: Sequence[NewJob]) -> list[Job[Any]]:
        return self.run(app.aio.enqueue_many(jobs, connection=self.connection))


class Psycopg(Way):
    def open(self, url: str) -> None:
        self.connection = psycopg.connect(url)


class PsycopgClientSide(Way):
    """Cursors that put arguments into the text, rows as dictionaries: the caller's choice, not ours."""

    def open(self, url: str) -> None:
        self.connection = psycopg.connect(url, cursor_factory=psycopg.ClientCursor, prepare_threshold=None)
        self.connection.row_factory = dict_row


class AsyncPsycopg(Awaited):
    def open(self, url: str) -> None:
        self.connection = self.run(psycopg.AsyncConnection.connect(url))


class Asyncpg(Awaited):
    def open(self, url: str) -> None:
        self.connection: Any = self.run(asyncpg.connect(url))
        self._begin()

    def _begin(self) -> None:
        self._transaction = self.connection.transaction()
        self.run(self._transaction.start())

    def commit(self) -> None:
        self.run(self._transaction.commit())
        self._begin()

    def rollback(self) -> None:
        self.run(self._transaction.rollback())
        self._begin()


class AsyncpgPool(Asyncpg):
    def open(self, url: str) -> None:
        self.pool: Any = self.run(self._made(url))
        self.connection = self.run(self.pool.acquire())
        self._begin()

    async def _made(self, url: str) -> Any:
        return await asyncpg.create_pool(url, min_size=1, max_size=1)

    def close(self) -> None:
        self.run(self._transaction.rollback())
        self.run(self.pool.release(self.connection))
        self.run(self.pool.close())
        self.runner.close()


class SqlalchemyConnection(Way):
    driver = "psycopg"

    def open(self, url: str) -> None:
        self.engine = sqlalchemy.create_engine(with_driver(url, self.driver))
        self.connection = self.made()

    def made(self) -> Any:
        return self.engine.connect()

    def execute(self, statement: str) -> None:
        self.connection.execute(sqlalchemy.text(statement))

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()


class SqlalchemySession(SqlalchemyConnection):
    def made(self) -> Any:
        return Session(self.engine)


class SqlalchemyPsycopg2(SqlalchemySession):
    driver = "psycopg2"


class SqlalchemyScoped(SqlalchemyConnection):
    def made(self) -> Any:
        return scoped_session(sessionmaker(self.engine))


class AsyncSqlalchemyConnection(Awaited):
    driver = "asyncpg"

    def open(self, url: str) -> None:
        self.engine = create_async_engine(with_driver(url, self.driver))
        self.connection = self.run(self.made())

    async def made(self) -> Any:
        return await self.engine.connect()

    def execute(self, statement: str) -> None:
        self.run(self.connection.execute(sqlalchemy.text(statement)))

    def close(self) -> None:
        self.run(self.connection.close())
        self.run(self.engine.dispose())
        self.runner.close()


class AsyncSqlalchemySession(AsyncSqlalchemyConnection):
    async def made(self) -> Any:
        return AsyncSession(self.engine)


class AsyncSqlalchemyScoped(AsyncSqlalchemyConnection):
    async def made(self) -> Any:
        return async_scoped_session(async_sessionmaker(self.engine), scopefunc=lambda: 1)


class AsyncSqlalchemyPsycopg(AsyncSqlalchemySession):
    driver = "psycopg"


class Django(Way):
    def open(self, url: str) -> None:
        parts: Mapping[str, Any] = conninfo_to_dict(url)
        self._opened = django_connection(
            ENGINE="django.db.backends.postgresql", NAME=parts["dbname"], USER=parts["user"], HOST=parts["host"],
            PORT=parts["port"], PASSWORD=parts.get("password", ""),
        )  # fmt: skip
        self.connection = self._opened.__enter__()
        self._begin()

    def _begin(self) -> None:
        self._atomic = transaction.atomic(using=ALIAS)
        self._atomic.__enter__()

    def execute(self, statement: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def commit(self) -> None:
        self._atomic.__exit__(None, None, None)
        self._begin()

    def rollback(self) -> None:
        transaction.set_rollback(True, using=ALIAS)
        self.commit()

    def leave(self) -> None:
        """Roll back, and begin no other."""
        transaction.set_rollback(True, using=ALIAS)
        self._atomic.__exit__(None, None, None)

    def shut(self) -> None:
        self._opened.__exit__(None, None, None)

    def close(self) -> None:
        self.leave()
        self.shut()


WAYS: Sequence[type[Way]] = (
    Psycopg,
    PsycopgClientSide,
    AsyncPsycopg,
    Asyncpg,
    AsyncpgPool,
    SqlalchemyConnection,
    SqlalchemySession,
    SqlalchemyPsycopg2,
    SqlalchemyScoped,
    AsyncSqlalchemyConnection,
    AsyncSqlalchemySession,
    AsyncSqlalchemyScoped,
    AsyncSqlalchemyPsycopg,
    Django,
)
