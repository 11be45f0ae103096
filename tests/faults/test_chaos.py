"""Chaos on one SQLite file, and what the history checker says of it; a store without its fence must not get past it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.company import open_company
from tests.faults.history import Report, check

SECONDS = 10.0
TRIES = 4  # a run in which the faults did not hit proves nothing: it is done again, with more of them


def rage(folder: Path, *, seed: int, seconds: float, pauses: float, mutant: str | None = None) -> Report:
    """Let chaos rage on a file of its own; return what the checker found, and print what happened."""
    folder.mkdir()
    with open_company(folder, mutant) as company:
        chaos = Chaos(company, seed, seconds, pauses)
        chaos.run()
        report = check(company.events(), company.rows())
    print(  # noqa: T201 - shown where it fails, and by -s
        f"\nseed {seed}: {chaos.kills} kills, {chaos.stops} pauses, healed in {chaos.healed_after:.1f} s; {report}"
    )
    return report


@pytest.mark.timeout(180)
def test_nothing_is_lost_doubled_or_out_of_order_in_chaos(tmp_path: Path) -> None:
    for seed in range(1, TRIES + 1):
        report = rage(tmp_path / str(seed), seed=seed, seconds=SECONDS, pauses=seed)
        assert report.violations == [], f"seed {seed}"
        assert report.enqueued > 0
        if report.rescues and report.refused:
            return
    pytest.fail("void: in no run was a lease rescued and a late outcome refused, so the faults have not hit")


@pytest.mark.timeout(180)
def test_a_store_that_does_not_fence_its_finishes_is_found_out(tmp_path: Path) -> None:
    found: list[str] = []
    for seed in range(1, TRIES + 1):
        found = rage(tmp_path / str(seed), seed=seed, seconds=5.0, pauses=2.0, mutant="unfenced finish").violations
        if found:
            break
    assert any(violation.startswith(("fence", "one completion")) for violation in found), found
