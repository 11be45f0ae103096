"""What the parts of the memory store share: the memory that it has open, held for the length of one verb."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from millrace.clock import Clock
from millrace.errors import StoreUnavailable
from millrace.stores.memory.memory import Memory, give_back, take

__all__ = ["MemoryBase", "at_of"]


class MemoryBase:
    """What the parts of `MemoryStore` share.

    Args:
        name: Of the memory; None: one of its own.
        clock: Gives the time; None is the host's clock.
    """

    def __init__(self, name: str | None = None, *, clock: Clock | None = None) -> None:
        self.url = f"memory://{name or ''}"
        self._name = name
        self._memory: Memory | None = take(name, clock)

    def close(self) -> None:
        """Let go of the jobs; they are gone unless another store has the same name."""
        memory, self._memory = self._memory, None
        if memory is not None:
            give_back(self._name, memory)

    def _open(self) -> Memory:
        if self._memory is None:
            raise StoreUnavailable(f"{self.url} is closed; open a new store")
        return self._memory

    @contextmanager
    def _whole(self) -> Generator[Memory, None, None]:
        """Hold the memory for one verb."""
        memory = self._open()
        with memory.lock:
            yield memory


def at_of(memory: Memory, now: int | None) -> int:
    """Return the time that a verb is given, or else the memory's. The lock must be held."""
    return memory.now() if now is None else now
