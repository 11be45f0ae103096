"""The suite as one class: the examples of every noun, on the store that a subclass makes."""

from __future__ import annotations

from millrace.conformance.claiming import ClaimingExamples
from millrace.conformance.conflicts import ConflictExamples
from millrace.conformance.enqueueing import EnqueueingExamples
from millrace.conformance.fencing import FencingExamples
from millrace.conformance.finishing import FinishingExamples
from millrace.conformance.following import FollowingExamples
from millrace.conformance.health import HealthExamples
from millrace.conformance.histories import HistoryExamples
from millrace.conformance.holding import HoldingExamples
from millrace.conformance.leases import LeaseExamples
from millrace.conformance.limiting import LimitExamples
from millrace.conformance.queues import QueueExamples
from millrace.conformance.reading import ReadingExamples
from millrace.conformance.registering import RegisterExamples
from millrace.conformance.rescuing import RescueExamples
from millrace.conformance.retention import RetentionExamples
from millrace.conformance.texts import TextExamples
from millrace.conformance.threads import ThreadExamples
from millrace.conformance.uniqueness import UniquenessExamples
from millrace.conformance.verbs import VerbExamples

__all__ = ["StoreConformance"]


class StoreConformance(
    EnqueueingExamples,
    TextExamples,
    UniquenessExamples,
    HoldingExamples,
    ConflictExamples,
    ClaimingExamples,
    QueueExamples,
    LimitExamples,
    FinishingExamples,
    FencingExamples,
    HistoryExamples,
    FollowingExamples,
    LeaseExamples,
    RescueExamples,
    VerbExamples,
    ReadingExamples,
    RetentionExamples,
    RegisterExamples,
    ThreadExamples,
    HealthExamples,
):
    """The examples that a store must pass. Subclass it, say how to make a store, and let pytest collect it.

    `make_store(clock)` is called once a test and returns an empty store that goes by the clock given; the suite closes
    it. An autouse fixture of the subclass may prepare what it needs, such as a folder.

    ```python
    class TestMyStore(StoreConformance):
        @pytest.fixture(autouse=True)
        def folder(self, tmp_path):
            self.path = tmp_path / "jobs.db"

        def make_store(self, clock):
            return MyStore(self.path, clock=clock)
    ```
    """
