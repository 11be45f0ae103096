"""Giving back what was claimed for a worker that never heard of it: by index, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.stores.postgres.arrays import Uuids
from millrace.stores.postgres.session import Session
from millrace.stores.postgres.strays import GIVE_BACK, STILL_HELD, give_back, still_held
from tests.servers.databases import Database
from tests.stores.postgres.lines.conftest import Bare

# Of each worker, 1 and 2, some jobs in each of the states 0 to 7; the numbers are told in the last byte of the id.
JOBS = """insert into {s}.job
 (id, due, created_at, max_attempts, max_crashes, state, priority, queue, task, args, worker, claim, attempt,
  lease_until)
 select (repeat('0', 24) || lpad(to_hex(n), 8, '0'))::uuid, 1, 1, 5, 3, n %% 8, 0, 'q', 't', '', 1 + n / 8 %% 2, 1, 1, 9
 from generate_series(0, 79) n"""
SHOWN = (
    "select state::int, worker is null, attempt, claim, rev, lease_until is null from {s}.job where id = any(%(ids)b)"
)


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def full(store: Bare) -> Bare:
    """A store with jobs of two workers."""
    store.write(lambda session: session.execute(JOBS, {"unused": None}))
    return store


def test_only_the_workers_own_running_jobs_that_it_does_not_hold_go_back(full: Bare) -> None:
    mine = [number for number in range(80) if number % 8 == 2 and number // 8 % 2 == 0]
    held = [id_of(mine[0])]
    assert full.write(lambda session: give_back(session, 1, held)) == len(mine) - 1
    lost = Uuids([id_of(number) for number in mine[1:]])
    assert full.read(lambda session: session.rows(SHOWN, {"ids": lost})) == [(1, True, 0, 1, 1, True)] * (len(mine) - 1)
    others = Uuids([id_of(number) for number in range(80) if number not in mine[1:]])
    assert {row[4] for row in full.read(lambda session: session.rows(SHOWN, {"ids": others}))} == {0}
    assert full.write(lambda session: give_back(session, 1, held)) == 0


def test_what_a_worker_still_holds_is_running_or_cancelling_and_its_own(full: Bare) -> None:
    every = [id_of(number) for number in range(80)]
    mine = [id_of(number) for number in range(80) if number % 8 in {2, 3} and number // 8 % 2 == 1]
    assert sorted(full.read(lambda session: still_held(session, 2, every))) == mine
    assert full.read(lambda session: still_held(session, 2, [])) == []


@pytest.mark.parametrize(("template", "index"), [(GIVE_BACK, "job_lease"), (STILL_HELD, "job_pkey")])
def test_both_go_by_an_index(full: Bare, postgres: Database, template: str, index: str) -> None:
    postgres.run("analyze {s}.job")
    args: dict[str, Any] = {"worker": 1, "held": Uuids([id_of(2)]), "ids": Uuids([id_of(2)])}

    def explain(session: Session) -> str:
        return "\n".join(line for (line,) in session.rows(f"explain (costs off) {template}", args))

    plan = full.write(explain)
    assert index in plan
    assert "Seq Scan" not in plan
