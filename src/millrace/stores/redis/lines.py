"""The few connections of one Redis store; see `stores.lines`. Owns how a line to it is made."""

from __future__ import annotations

from collections.abc import Callable

from millrace.stores.lines import Lines as KeptLines
from millrace.stores.redis.line import Line
from millrace.stores.redis.settings import Settings
from millrace.stores.redis.whereabouts import Whereabouts
from millrace.stores.redis.wire import Connection

__all__ = ["Lines"]


class Lines(KeptLines[Connection]):
    """The connections of one store within one process.

    Args:
        settings: Where to.
        on_open: Called with each new connection and its name, before anything else is run on it.
    """

    def __init__(self, settings: Settings, on_open: Callable[[Connection, str], None]) -> None:
        whereabouts = Whereabouts()

        def make(lines: KeptLines[Connection], name: str, deadline: float) -> Line:
            return Line(
                settings,
                whereabouts,
                lines.watchdog,
                deadline=deadline,
                on_open=lambda connection: on_open(connection, name),
                reached=lines.reached,
                closing=lines.closing,
            )

        super().__init__(settings, make)
