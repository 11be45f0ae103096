"""What the faults of a server share: a schema for each test, and a chaos whose history is checked."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.company import open_company
from tests.faults.history import Report, check

Endure = Callable[..., Report]

_schemas = count(1)


@pytest.fixture
def schema() -> str:
    """The name of a schema that nobody has used: a server that is struck is not tidied up between tests."""
    return f"test_{next(_schemas)}"


@pytest.fixture
def endure(tmp_path: Path) -> Endure:
    """Let a chaos befall a company, and check its history, which must be free of violations."""

    def run(url: str, *, seed: int = 1, lose: Callable[[], int | None] = lambda: None, **told: object) -> Report:
        with open_company(tmp_path, url) as company:
            chaos = Chaos(company, seed, **told)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            chaos.run()
            report = check(company.events(), company.rows(), forked_at=lose())
        print(f"\n{chaos.refusals} calls refused, healed in {chaos.healed_after:.1f} s; {report}")  # noqa: T201
        assert report.violations == []
        assert report.enqueued > 0
        return report

    return run
