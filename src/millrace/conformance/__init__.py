"""What every store must do, as tests that anyone's store can run. Needs pytest; the state machine also Hypothesis.

`StoreConformance` holds the examples: a sentence each, by verb. `TransferExamples` are for stores that can also be
copied from and to (`transfer.Transfer`), `ScheduleExamples` for those that keep schedules (`scheduling.Scheduling`),
`FollowUpExamples` for those that hold jobs until others have ended (`followups.Following`).
`machine.StoreMachine` tries random lives of jobs against a model, `schedulemachine` those of schedules, `followmachine`
those of jobs that wait for each other; `mutants` are broken stores on which the suite must fail.

```python
# test_my_store.py
from millrace.conformance import StoreConformance


class TestMyStore(StoreConformance):
    def make_store(self, clock):
        return MyStore(clock=clock)
```
"""

from __future__ import annotations

import pytest

# Before the examples are imported, so that a failed assert shows its values.
pytest.register_assert_rewrite(__name__)

from millrace.conformance.followups import FollowUpExamples  # noqa: E402
from millrace.conformance.scheduling import ScheduleExamples  # noqa: E402
from millrace.conformance.suite import StoreConformance  # noqa: E402
from millrace.conformance.transferring import TransferExamples  # noqa: E402

__all__ = ["FollowUpExamples", "ScheduleExamples", "StoreConformance", "TransferExamples"]
