"""What the faults of a Redis server share: a prefix for each test, and a chaos whose history and keys are checked."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.faults.enduring import Endure, endured
from tests.faults.history import Report
from tests.faults.redis.keys import disagreements

__all__ = ["endure", "prefix"]

_prefixes = count(1)


@pytest.fixture
def prefix() -> str:
    """A prefix that nobody has used: a server that is struck is not tidied up between tests."""
    return f"test_{next(_prefixes)}"


@pytest.fixture
def endure(tmp_path: Path) -> Endure:
    """Let a chaos befall a company, check its history, and see that all keys agree with each other at the end."""

    def run(url: str, **told: object) -> Report:
        report = endured(tmp_path, url, **told)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        assert disagreements(url) == []
        return report

    return run
