"""Moving whole jobs between stores: the records, and the capability of a store to give and take them. No I/O.

`copying.py` walks one store and fills another; what is copied, and as what, is decided there and never in a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from millrace.job import JobRow
from millrace.records import AttemptRow, LogRow

__all__ = ["MAX_WHOLE", "Restored", "Transfer", "WholeJob"]

MAX_WHOLE = 500  #: jobs in one export, and in one transaction of a restore


class WholeJob(msgspec.Struct, frozen=True):
    """A job with all that belongs to it.

    Attributes:
        row: The job. Its `ref`, like that of its log lines, is the giving store's own and means nothing elsewhere.
        error_type: The class name of the error that the job shows, by which `JobFilter.error` finds it.
        attempts: The rows of its history, oldest first, without the success that the job's row tells.
        logs: Its log lines, oldest first.
        waits: The parents that it waits for still.

    >>> WholeJob(JobRow(ref=1, id=bytes(16), task="add", queue="default", args=b"{}")).logs
    ()
    """

    row: JobRow
    error_type: str | None = None
    attempts: tuple[AttemptRow, ...] = ()
    logs: tuple[LogRow, ...] = ()
    waits: tuple[bytes, ...] = ()


class Restored(msgspec.Struct, frozen=True):
    """What a restore left out, by index: jobs whose id was there, and live ones whose unique key another one holds."""

    there: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()


@runtime_checkable
class Transfer(Protocol):
    """Capability: give jobs whole, and take them as they are.

    >>> from millrace.stores import MemoryStore
    >>> isinstance(MemoryStore(), Transfer)
    True
    """

    def exists(self) -> bool:
        """Tell whether the store has been made, which its first use would do; this does not make it.

        Raises:
            ConfigurationError: It cannot be made there either.
        """
        ...

    def export(self, *, limit: int, cursor: str | None = None) -> tuple[list[WholeJob], str | None]:
        """Read one page of whole jobs, and the cursor of the next; the last page has none.

        In the order of their inserts, oldest first, so that a restore in this order keeps the order of `page`. A job
        that was there when the walk began and stays is met exactly once; one that comes later may be.

        Args:
            limit: At most so many, and never more than 500.
            cursor: What the last page gave.

        Raises:
            ConfigurationError: The cursor is not one of this store's.
        """
        ...

    def restore(self, jobs: Sequence[WholeJob]) -> Restored:
        """Insert jobs in order, verbatim: states, times, numbers and texts as given; all or, on an error, none.

        Left out and told are a job whose id is there already (which is not touched), and a live one whose unique key
        another live job holds, an earlier one of the call included. Where both stand in the way, the id is told.
        """
        ...
