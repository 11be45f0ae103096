"""A store with its bench on an empty schema, and jobs written in bulk behind its back. Owns no assertion."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import psycopg
import pytest

from millrace.conformance.bench import Bench
from millrace.stores.postgres import PostgresStore
from millrace.stores.postgres.claim import Claims
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.sweep import Sweep
from millrace.stores.postgres.texts import Texts
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database

__all__ = ["InThread", "OpenStore", "blocked", "fill", "until"]

PATIENCE = 20.0  # seconds: bounds a failure, measures nothing

T = TypeVar("T")

# As many jobs as asked for, ended ones but for those that are told to be pending.
FILL = """insert into {s}.job (id, due, created_at, state, priority, max_attempts, max_crashes, queue, task, args,
  finished_at, expire_at, worker, claim)
 select (lpad(to_hex(1700000000000 + g), 12, '0') || '7' || substr(md5(g::text), 1, 3) || '8' ||
   substr(md5(g::text), 4, 15))::uuid, %s, 1, %s, 0, 5, 3, %s, 'filled', '{{}}',
   case when %s = 5 then 2 end, case when %s = 5 then 4000000000000000 end, 7, 1
 from generate_series(1, %s) g"""
# Who waits for a lock of another session, in our database.
WAITING = """select count(*) from pg_stat_activity
 where datname = current_database() and wait_event_type = 'Lock' and cardinality(pg_blocking_pids(pid)) > 0"""


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def store(postgres: Database, clock: ManualClock) -> Iterator[OpenStore]:
    """A store whose tables are there."""
    opened = OpenStore(postgres.url(), clock=clock)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def bench(store: PostgresStore, clock: ManualClock) -> Bench:
    """The steps that many tests share, on that store."""
    return Bench(store, clock)


@pytest.fixture
def other(postgres: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session beside the store's, with a transaction of its own open from the first statement on."""
    with psycopg.connect(postgres.server, options=f"-c search_path={postgres.schema}") as connection:
        yield connection
        connection.rollback()


class OpenStore(PostgresStore):
    """A store that lets a test look at its claims and its texts."""

    @property
    def claims(self) -> Claims:
        """What it knows of its claims."""
        return self._claims

    @property
    def sweeps(self) -> Sequence[Sweep]:
        """Its looks for what has passed."""
        return self._lost, self._claims.due, self._expired

    def watch_sweeps(self, clock: Callable[[], float]) -> None:
        """Let them go by a clock."""
        self._lost, self._claims.due, self._expired = (Sweep(clock) for _ in range(3))

    @property
    def texts(self) -> Texts:
        """Its statements."""
        return self._texts

    def run(self, body: Callable[[Session], T]) -> T:
        """Run a body on a connection that writes."""
        return self._write(body)


class InThread(Generic[T]):
    """A call under way in a thread of its own."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answers: list[T] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answers.append(self._call())
        except BaseException as error:  # noqa: BLE001 - told in the thread that asks for the answer
            self._errors.append(error)

    @property
    def under_way(self) -> bool:
        """Whether it has not returned yet."""
        return self._thread.is_alive()

    def answer(self) -> T:
        """Wait until it returns, and return what it returned."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call does not return"
        if self._errors:
            raise self._errors[0]
        return self._answers[0]


def until(holds: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def blocked(database: Database) -> bool:
    """Tell whether some session waits for another one's lock."""
    return database.run(WAITING) != [(0,)]


def fill(database: Database, number: int, state: int = 5, queue: str = "filled", due: int = 1) -> None:
    """Write jobs in bulk: ended ones, or pending ones of a task that nobody knows."""
    database.run(FILL, due, state, queue, state, state, number)
