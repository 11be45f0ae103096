"""Random lives of jobs agree with the model on Redis, spread by queue or not, and mutants of the store do not.

Spread by queue, each queue has unique keys of its own in the lives, as the store promises no more of them. And a claim
makes due jobs pending only in the queues that it asks, in the model in all; so that is caught up with. All else of the
model holds: priorities of queues and turns are those of one process, which is what the machine is.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from millrace.conformance.machine import KEYS, Held, Keyed, StoreMachine, queue_names, task_names
from millrace.conformance.mutants import MUTANTS
from millrace.messages import ClaimRequest
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


def spread_machine_on(space: RedisSpace, spoil: Spoil) -> type[StoreMachine]:
    class OnSpreadRedis(StoreMachine):
        def make_store(self, clock: ManualClock) -> Store:
            space.empty()
            return spoil(open_store(space.url(shard="queue"), clock=clock))

        @rule(
            queue=queue_names,
            task=task_names,
            priority=st.integers(-1, 1),
            delay=st.sampled_from([0, 0, 0, 2, 5]),
            keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3),
            crashes=st.integers(1, 3),
        )
        def insert(self, queue: str, task: str, priority: int, delay: int, keys: list[Keyed], crashes: int) -> None:
            """Insert some jobs, some of them with a key that no other queue has."""
            own: list[Keyed] = [(key and f"{key} of {queue}", until, policy) for key, until, policy in keys]
            super().insert(queue, task, priority, delay, own, crashes)

        def _claim(self, worker: int, request: ClaimRequest) -> list[Held]:
            claimed = super()._claim(worker, request)
            self.store.promote()
            return claimed

    return OnSpreadRedis


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


@pytest.mark.timeout(180)
def test_random_lives_agree_with_the_model_where_queues_are_spread(main_redis: RedisSpace) -> None:
    run_state_machine_as_test(spread_machine_on(main_redis, untouched), settings=settings(THOROUGH, max_examples=40))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", ["unfenced finish", "no uniqueness"])
def test_a_mutant_is_found_where_queues_are_spread(main_redis: RedisSpace, fault: str) -> None:
    hunt(spread_machine_on(main_redis, MUTANTS[fault]))
