"""A chaos that befalls a company on a server's store, and whose history is checked. Owns what every such test asks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.company import open_company
from tests.faults.history import Report, check

__all__ = ["TRIES", "Endure", "endure", "endured"]

TRIES = 4  # a run in which the faults did not hit proves nothing: it is done again

Endure = Callable[..., Report]


def endured(
    folder: Path, url: str, *, seed: int = 1, lose: Callable[[], int | None] = lambda: None, **told: object
) -> Report:
    """Let a chaos befall a company, and check its history, which must be free of violations."""
    folder = folder / f"run_{len(list(folder.glob('run_*')))}"
    folder.mkdir()
    with open_company(folder, url) as company:
        chaos = Chaos(company, seed, **told)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        chaos.run()
        report = check(company.events(), company.rows(), forked_at=lose())
    print(f"\n{chaos.refusals} calls refused, healed in {chaos.healed_after:.1f} s; {report}")  # noqa: T201
    assert not report.violations, "\n".join(report.violations)
    assert report.enqueued > 0
    return report


@pytest.fixture
def endure(tmp_path: Path) -> Endure:
    """Let a chaos befall a company in a folder of the test's own."""
    return partial(endured, tmp_path)
