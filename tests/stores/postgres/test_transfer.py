"""The PostgreSQL store gives jobs whole and takes them as they are, on every server there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.conformance import TransferExamples
from millrace.ids import new_id
from millrace.store import Store
from millrace.stores import PostgresStore, open_store
from millrace.stores.postgres.arrays import Uuid, Uuids
from millrace.stores.postgres.transfer import ATTEMPTS_OF, FIRST, LOGS_OF, NEXT, PLACES
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database


class TestPostgresTransfer(TransferExamples):
    @pytest.fixture(autouse=True)
    def empty_schema(self, each_database: Database) -> None:
        self.database = each_database
        each_database.empty()

    def make_store(self, clock: ManualClock) -> Store:
        return open_store(self.database.url(), clock=clock)


JOBS = """insert into {s}.job (id, due, created_at, max_attempts, max_crashes, state, priority, queue, task, args)
 select gen_random_uuid(), n, n, 5, 3, n % 8, 0, 'q', 't', '{{}}' from generate_series(1, 20000) n"""
ATTEMPTS = """insert into {s}.attempt (job, claim, attempt, finished_at, outcome)
 select id, 1, 1, 0, 'failed' from {s}.job"""
LOGS = """insert into {s}.log (job, claim, attempt, at, level, message) select id, 1, 1, 0, 20, '"x"' from {s}.job"""


@pytest.fixture
def store(postgres: Database) -> Iterator[PostgresStore]:
    opened = PostgresStore(postgres.url())
    yield opened
    opened.close()


def test_a_schema_that_is_not_there_does_not_exist_and_looking_makes_none(
    store: PostgresStore, postgres: Database
) -> None:
    postgres.drop()
    there = "select to_regnamespace('{s}')::text"

    assert not store.exists()
    assert postgres.run(there) == [(None,)]
    store.migrate()
    assert store.exists()


@pytest.mark.parametrize(
    ("template", "index"),
    [
        (FIRST, "job_pkey"),
        (NEXT, "job_pkey"),
        (ATTEMPTS_OF, "attempt_pkey"),
        (LOGS_OF, "log_pkey"),
        (PLACES, "job_pkey"),
    ],
    ids=["first", "next", "attempts", "logs", "places"],
)
def test_a_page_is_read_by_index_however_many_jobs_there_are(
    store: PostgresStore, postgres: Database, template: str, index: str
) -> None:
    store.migrate()
    for statement in (JOBS, ATTEMPTS, LOGS, "analyze {s}.job", "analyze {s}.attempt", "analyze {s}.log"):
        postgres.run(statement)
    args = {"limit": 501, "above": Uuid(new_id()), "ids": Uuids([new_id() for _ in range(100)])}
    given = {name: value for name, value in args.items() if f"%({name})" in template}

    rows = store._read(lambda session: session.rows(f"explain {template}", given))  # pyright: ignore[reportPrivateUsage]
    plan = "\n".join(line for (line,) in rows)

    assert index in plan
    assert "Seq Scan" not in plan
