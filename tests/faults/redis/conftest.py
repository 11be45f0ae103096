"""What the faults of a Redis server share: a prefix for each test, and a chaos whose history is checked."""

from __future__ import annotations

from itertools import count

import pytest

from tests.faults.enduring import endure

__all__ = ["endure", "prefix"]

_prefixes = count(1)


@pytest.fixture
def prefix() -> str:
    """A prefix that nobody has used: a server that is struck is not tidied up between tests."""
    return f"test_{next(_prefixes)}"
