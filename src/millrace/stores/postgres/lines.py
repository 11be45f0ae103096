"""The few connections of one PostgreSQL store; see `stores.lines`. Owns how a line to it is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from millrace.stores.lines import Lines as KeptLines
from millrace.stores.postgres.borrowed import BorrowingLine
from millrace.stores.postgres.connection import Connection
from millrace.stores.postgres.line import Line
from millrace.stores.postgres.settings import Settings

__all__ = ["Lines"]


class Lines(KeptLines[Connection]):
    """The connections of one store within one process.

    Args:
        settings: Where to.
        on_open: Called with each new connection that writes, before anything else is run on it.
    """

    def __init__(self, settings: Settings, on_open: Callable[[Connection], None]) -> None:
        def make(lines: KeptLines[Connection], name: str, deadline: float) -> Line:
            line = Line if settings.pool is None else partial(BorrowingLine, keeps=lambda: lines.working)
            return line(
                settings,
                lines.watchdog,
                name=name,
                deadline=deadline,
                on_open=on_open,
                reached=lines.reached,
                closing=lines.closing,
            )

        super().__init__(settings, make)

    def is_own(self, backend: int) -> bool:
        """Tell whether a server process is the other end of one of these connections."""
        return any(line.connection is not None and line.connection.backend == backend for line in self.every())
