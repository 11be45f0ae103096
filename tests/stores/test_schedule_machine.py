"""Random lives of schedules agree with the model on every store, and mutants do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from millrace.conformance.mutants import SCHEDULE_MUTANTS
from millrace.ids import new_id
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore, open_store
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database
from tests.servers.redisspaces import RedisSpace
from tests.stores.machines import THOROUGH, hunt, schedules_on

ON_A_SERVER = settings(THOROUGH, max_examples=30)


def test_random_lives_agree_with_the_model_in_memory() -> None:
    run_state_machine_as_test(schedules_on(lambda clock: MemoryStore(clock=clock)), settings=THOROUGH)


def test_random_lives_agree_with_the_model_on_sqlite(tmp_path: Path) -> None:
    def make(clock: ManualClock) -> Store:
        return SQLiteStore(str(tmp_path / f"{new_id().hex()}.db"), synchronous="normal", clock=clock)

    run_state_machine_as_test(schedules_on(make), settings=ON_A_SERVER)


@pytest.mark.timeout(180)
def test_random_lives_agree_with_the_model_on_postgres(main_database: Database) -> None:
    def make(clock: ManualClock) -> Store:
        main_database.empty()
        return open_store(main_database.url(), clock=clock)

    run_state_machine_as_test(schedules_on(make), settings=ON_A_SERVER)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [{}, {"shard": "queue"}], ids=["whole", "spread"])
def test_random_lives_agree_with_the_model_on_redis(main_redis: RedisSpace, options: dict[str, str]) -> None:
    def make(clock: ManualClock) -> Store:
        main_redis.empty()
        return open_store(main_redis.url(**options), clock=clock)

    run_state_machine_as_test(schedules_on(make), settings=ON_A_SERVER)


@pytest.mark.parametrize("fault", SCHEDULE_MUTANTS)
def test_a_mutant_is_found(fault: str) -> None:
    hunt(schedules_on(lambda clock: SCHEDULE_MUTANTS[fault](MemoryStore(clock=clock))))
