"""Two hundred power cuts with torn and reordered writes, at FULL and at NORMAL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.blackouts import black_out

pytestmark = pytest.mark.soak

CUTS = 200


def test_nothing_acknowledged_at_full_is_ever_lost(tmp_path: Path) -> None:
    tally = black_out(tmp_path, "full", cuts=CUTS, seed=1000)
    print(f"\nfull:   {tally}")  # noqa: T201 - a soak reports its figures
    assert (tally.cuts, tally.lost, tally.halved, tally.damaged, tally.stuck) == (CUTS, 0, 0, 0, 0)


def test_normal_never_halves_or_damages_anything(tmp_path: Path) -> None:
    tally = black_out(tmp_path, "normal", cuts=CUTS, seed=2000)
    print(f"\nnormal: {tally}")  # noqa: T201 - a soak reports its figures
    assert tally.lost > 0, "the cuts did not cut"
    assert (tally.cuts, tally.halved, tally.damaged, tally.stuck) == (CUTS, 0, 0, 0)
