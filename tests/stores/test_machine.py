"""Random lives of jobs agree with the model on both stores, and each mutant, a store broken on purpose, does not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from millrace.conformance.machine import StoreMachine
from millrace.conformance.mutants import MUTANTS
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing.clock import ManualClock

THOROUGH = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
#: A mutant needs finding, not shrinking, and must be found in every run alike.
HUNT = settings(THOROUGH, max_examples=400, phases=(Phase.generate,), derandomize=True, database=None, print_blob=False)

Spoil = Callable[[Store], Store]


def untouched(store: Store) -> Store:
    return store


def machine_on_memory(spoil: Spoil) -> type[StoreMachine]:
    class OnMemory(StoreMachine):
        def make_store(self, clock: ManualClock) -> Store:
            return spoil(MemoryStore(clock=clock))

    return OnMemory


def machine_on_sqlite(spoil: Spoil) -> type[StoreMachine]:
    class OnSQLite(StoreMachine):
        def make_store(self, clock: ManualClock) -> Store:
            self.folder = tempfile.TemporaryDirectory()
            file = Path(self.folder.name) / "jobs.db"
            return spoil(SQLiteStore(str(file), synchronous="normal", clock=clock))

        def teardown(self) -> None:
            super().teardown()
            self.folder.cleanup()

    return OnSQLite


MACHINES = {"memory": machine_on_memory, "sqlite": machine_on_sqlite}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_random_lives_agree_with_the_model(machine: Callable[[Spoil], type[StoreMachine]]) -> None:
    run_state_machine_as_test(machine(untouched), settings=THOROUGH)


@pytest.mark.parametrize("fault", MUTANTS)
def test_a_mutant_is_found(fault: str) -> None:
    with pytest.raises(BaseException, match=r"(?s).*") as caught:
        run_state_machine_as_test(machine_on_memory(MUTANTS[fault]), settings=HUNT)
    assert _is_a_difference(caught.value), f"the machine broke down instead of finding the fault: {caught.value!r}"


@pytest.mark.parametrize("fault", ["unfenced finish", "rescue by a stale look", "lost cancel", "no uniqueness"])
def test_a_mutant_of_the_sqlite_store_is_found(fault: str) -> None:
    with pytest.raises(BaseException, match=r"(?s).*") as caught:
        run_state_machine_as_test(machine_on_sqlite(MUTANTS[fault]), settings=HUNT)
    assert _is_a_difference(caught.value), f"the machine broke down instead of finding the fault: {caught.value!r}"


def _is_a_difference(error: Any) -> bool:
    """Tell a failed comparison from a breakdown; several distinct failures come as a group."""
    if isinstance(error, BaseExceptionGroup):
        several = cast("BaseExceptionGroup[BaseException]", error)
        return all(_is_a_difference(each) for each in several.exceptions)
    return isinstance(error, AssertionError)
