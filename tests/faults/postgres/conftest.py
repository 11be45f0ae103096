"""What the faults of a server share: a schema for each test, and a chaos whose history is checked."""

from __future__ import annotations

from itertools import count

import pytest

from tests.faults.enduring import Endure, endure

__all__ = ["Endure", "endure", "schema"]

_schemas = count(1)


@pytest.fixture
def schema() -> str:
    """The name of a schema that nobody has used: a server that is struck is not tidied up between tests."""
    return f"test_{next(_schemas)}"
