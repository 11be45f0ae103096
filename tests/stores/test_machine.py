"""Random lives of jobs agree with the model on both stores, and each mutant, a store broken on purpose, does not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test

from millrace.conformance.machine import StoreMachine
from millrace.conformance.mutants import MUTANTS
from millrace.store import Store
from millrace.stores import MemoryStore, SQLiteStore
from millrace.testing.clock import ManualClock
from tests.stores.machines import DEEP_FAULTS, THOROUGH, Spoil, hunt, untouched


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
    hunt(machine_on_memory(MUTANTS[fault]))


@pytest.mark.parametrize("fault", DEEP_FAULTS)
def test_a_mutant_of_the_sqlite_store_is_found(fault: str) -> None:
    hunt(machine_on_sqlite(MUTANTS[fault]))
