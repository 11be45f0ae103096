"""Random lives of jobs agree with the model on Redis, and mutants of the store do not."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from millrace.conformance.machine import StoreMachine
from millrace.conformance.mutants import MUTANTS
from millrace.store import Store
from millrace.stores import open_store
from millrace.testing.clock import ManualClock
from tests.servers.redisspaces import RedisSpace
from tests.stores.machines import DEEP_FAULTS, THOROUGH, Spoil, hunt, untouched


def machine_on(space: RedisSpace, spoil: Spoil) -> type[StoreMachine]:
    class OnRedis(StoreMachine):
        def make_store(self, clock: ManualClock) -> Store:
            space.empty()
            return spoil(open_store(space.url(), clock=clock))

    return OnRedis


@pytest.mark.timeout(180)
def test_random_lives_agree_with_the_model(main_redis: RedisSpace) -> None:
    run_state_machine_as_test(machine_on(main_redis, untouched), settings=THOROUGH)


@pytest.mark.timeout(180)
def test_some_lives_agree_with_the_model_on_every_server(each_redis: RedisSpace) -> None:
    run_state_machine_as_test(machine_on(each_redis, untouched), settings=settings(THOROUGH, max_examples=15))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", DEEP_FAULTS)
def test_a_mutant_is_found(main_redis: RedisSpace, fault: str) -> None:
    hunt(machine_on(main_redis, MUTANTS[fault]))
