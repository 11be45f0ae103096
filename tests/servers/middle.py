"""Which of several versions of a server a run of the whole suite tries. Owns the choice; the rest runs in the soak.

A store's code meets the limits of the oldest version and the news of the newest; what lies between has never failed
alone, and costs a run of the suite minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

__all__ = ["middle_in_the_soak"]


def middle_in_the_soak(names: Sequence[str], always: Sequence[str] = ()) -> list[Any]:
    """Return names as parameters of a fixture: the first, the last or `always`, and the others marked for the soak."""
    kept = set(always or (names[0], names[-1]))
    return [name if name in kept else pytest.param(name, marks=pytest.mark.soak) for name in names]
