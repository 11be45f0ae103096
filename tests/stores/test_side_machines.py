"""Random lives of schedules and of follow-ups agree with their models on every store, and mutants do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from millrace.conformance.mutants import FOLLOW_MUTANTS, SCHEDULE_MUTANTS
from millrace.ids import new_id
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore, open_store
from millrace.testing.clock import ManualClock
from tests.servers.databases import Database
from tests.servers.redisspaces import RedisSpace
from tests.stores.machines import ON_A_SERVER, THOROUGH, follow_ups_on, hunt, schedules_on

MachineOn = Callable[[Callable[[ManualClock], Store]], type[RuleBasedStateMachine]]


@pytest.fixture(params=[schedules_on, follow_ups_on], ids=["schedules", "follow-ups"])
def machine_on(request: pytest.FixtureRequest) -> MachineOn:
    """Makes the machine on the stores that are made."""
    made: MachineOn = request.param
    return made


def test_random_lives_agree_with_the_model_in_memory(machine_on: MachineOn) -> None:
    run_state_machine_as_test(machine_on(lambda clock: MemoryStore(clock=clock)), settings=THOROUGH)


def test_random_lives_agree_with_the_model_on_sqlite(tmp_path: Path, machine_on: MachineOn) -> None:
    def make(clock: ManualClock) -> Store:
        return SQLiteStore(str(tmp_path / f"{new_id().hex()}.db"), synchronous="normal", clock=clock)

    run_state_machine_as_test(machine_on(make), settings=ON_A_SERVER)


@pytest.mark.timeout(180)
def test_random_lives_agree_with_the_model_on_postgres(main_database: Database, machine_on: MachineOn) -> None:
    def make(clock: ManualClock) -> Store:
        main_database.empty()
        return open_store(main_database.url(), clock=clock)

    run_state_machine_as_test(machine_on(make), settings=ON_A_SERVER)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [{}, {"shard": "queue"}], ids=["whole", "spread"])
def test_random_lives_agree_with_the_model_on_redis(
    main_redis: RedisSpace, options: dict[str, str], machine_on: MachineOn
) -> None:
    def make(clock: ManualClock) -> Store:
        main_redis.empty()
        return open_store(main_redis.url(**options), clock=clock)

    run_state_machine_as_test(machine_on(make), settings=ON_A_SERVER)


@pytest.mark.parametrize("fault", SCHEDULE_MUTANTS)
def test_a_mutant_of_schedules_is_found(fault: str) -> None:
    hunt(schedules_on(lambda clock: SCHEDULE_MUTANTS[fault](MemoryStore(clock=clock))))


@pytest.mark.parametrize("fault", FOLLOW_MUTANTS)
def test_a_mutant_of_follow_ups_is_found(fault: str) -> None:
    hunt(follow_ups_on(lambda clock: FOLLOW_MUTANTS[fault](MemoryStore(clock=clock))))
