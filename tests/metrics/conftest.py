"""The metrics' tests stand on what the worker's do."""

from __future__ import annotations

from tests.worker.conftest import memory_app, stage, staged

__all__ = ["memory_app", "stage", "staged"]
