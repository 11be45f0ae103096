"""What the faults of all stores share: helpers that assert say what they have found, as tests do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.faults.lostreplies")
