"""Power cuts with torn and reordered writes: a few of those of which `make soak` does two hundred."""

from __future__ import annotations

from pathlib import Path

from tests.faults.blackouts import black_out


def test_what_was_acknowledged_at_full_survives_the_power(tmp_path: Path) -> None:
    tally = black_out(tmp_path, "full", cuts=25)
    assert tally.acknowledged > 0
    assert (tally.lost, tally.halved, tally.damaged, tally.stuck) == (0, 0, 0, 0), tally


def test_normal_may_lose_the_last_commits_and_never_half_of_one(tmp_path: Path) -> None:
    """That something is lost shows that the cuts cut."""
    tally = black_out(tmp_path, "normal", cuts=25)
    assert tally.lost > 0, tally
    assert (tally.halved, tally.damaged, tally.stuck) == (0, 0, 0), tally
