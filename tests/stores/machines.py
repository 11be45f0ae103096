"""How the state machine is run, thoroughly and on the hunt for a mutant. Owns the settings and what counts as found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from millrace.conformance.followmachine import FollowMachine
from millrace.conformance.schedulemachine import ScheduleMachine
from millrace.store import Store
from millrace.testing.clock import ManualClock

__all__ = [
    "DEEP_FAULTS",
    "ON_A_SERVER",
    "THOROUGH",
    "Spoil",
    "follow_ups_on",
    "hunt",
    "schedules_on",
    "untouched",
]

THOROUGH = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
ON_A_SERVER = settings(THOROUGH, max_examples=30)
#: A mutant needs finding, not shrinking, and must be found in every run alike.
HUNT = settings(THOROUGH, max_examples=400, phases=(Phase.generate,), derandomize=True, database=None, print_blob=False)

#: Those that are looked for on every store: they need a whole chain of calls to show.
DEEP_FAULTS = ("unfenced finish", "rescue by a stale look", "lost cancel", "no uniqueness")

Spoil = Callable[[Store], Store]


def untouched(store: Store) -> Store:
    """Spoil nothing."""
    return store


def hunt(machine: type[RuleBasedStateMachine]) -> None:
    """Run a machine on a broken store, and see that it finds a difference."""
    with pytest.raises(BaseException, match=r"(?s).*") as caught:
        run_state_machine_as_test(machine, settings=HUNT)
    assert _is_a_difference(caught.value), f"the machine broke down instead of finding the fault: {caught.value!r}"


def follow_ups_on(make: Callable[[ManualClock], Store]) -> type[FollowMachine]:
    """Return the machine of follow-ups on the stores that are made."""

    class OnAStore(FollowMachine):
        def make_store(self, clock: ManualClock) -> Store:
            return make(clock)

    return OnAStore


def schedules_on(make: Callable[[ManualClock], Store]) -> type[ScheduleMachine]:
    """Return the machine of schedules on the stores that are made."""

    class OnAStore(ScheduleMachine):
        def make_store(self, clock: ManualClock) -> Store:
            return make(clock)

    return OnAStore


def _is_a_difference(error: Any) -> bool:
    """Tell a failed comparison from a breakdown; several distinct failures come as a group."""
    if isinstance(error, BaseExceptionGroup):
        several = cast("BaseExceptionGroup[BaseException]", error)
        return all(_is_a_difference(each) for each in several.exceptions)
    return isinstance(error, AssertionError)
