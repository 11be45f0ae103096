"""The memory store: jobs in this process, gone with it. For tests, and the reference of what a store must do."""

from __future__ import annotations

from millrace.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
