"""Helpers for testing code that enqueues jobs: an assertion, a clock, and the pytest plugin in `plugin`."""

from __future__ import annotations

from millrace.testing.asserting import assert_enqueued
from millrace.testing.clock import ManualClock

__all__ = ["ManualClock", "assert_enqueued"]
