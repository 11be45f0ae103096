"""What a worker and its child process say to each other: one JSON object a line, over two pipes. Pure data.

Neither side reads code from the other: a job comes as its row, the task by the names of the modules that may hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from millrace.job import JobRow, Progress
from millrace.outcome import Outcome

__all__ = [
    "CHILD_VARIABLE",
    "Answer",
    "Completed",
    "Counted",
    "Ended",
    "Extend",
    "FromChild",
    "Hello",
    "Line",
    "Partial",
    "Progressed",
    "Run",
    "Stopped",
    "ToChild",
    "Unloadable",
    "decode_from_child",
    "decode_to_child",
    "encode",
]

CHILD_VARIABLE = "MILLRACE_CHILD"  #: set in the environment of a child, where no worker may start


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Where the parent finds modules."""

    path: tuple[str, ...]


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run one attempt. `modules` may hold the task; `file` is the script that stands behind the first of them.

    `arounds` tells how many middlewares the handler runs within, `log_level` from which level on lines of `logging` are
    kept, `measured` whether what the handler does to the store is counted.
    """

    row: JobRow
    modules: tuple[str, ...]
    file: str | None = None
    arounds: int = 0
    log_level: int | None = None
    measured: bool = False


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What became of a request: whether the lease is still this worker's."""

    held: bool


class Line(msgspec.Struct, frozen=True, tag="line"):
    """A log line, with what was given by name as plain JSON values; `kept`: it was sent to `logging` already."""

    level: int
    message: str
    data: dict[str, Any] = {}
    kept: bool = False


class Progressed(msgspec.Struct, frozen=True, tag="progress"):
    """How far the job is."""

    progress: Progress


class Partial(msgspec.Struct, frozen=True, tag="partial"):
    """A partial result, to be answered."""

    result: bytes


class Extend(msgspec.Struct, frozen=True, tag="extend"):
    """Extend the lease, to be answered."""

    seconds: float


class Completed(msgspec.Struct, frozen=True, tag="completed"):
    """The handler completed the job on a connection of its own."""


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """What was counted since the last time, as `Readings.encode` writes it."""

    readings: bytes


class Unloadable(msgspec.Struct, frozen=True, tag="unloadable"):
    """The task cannot be found in the child; the text says why."""

    text: str


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The handler heeded the request to stop."""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The attempt has ended like this."""

    outcome: Outcome


ToChild = Hello | Run | Answer
FromChild = Line | Progressed | Partial | Extend | Completed | Counted | Unloadable | Stopped | Ended

encode = msgspec.json.Encoder().encode
decode_to_child: Callable[[bytes], ToChild] = msgspec.json.Decoder[ToChild](ToChild).decode
decode_from_child: Callable[[bytes], FromChild] = msgspec.json.Decoder[FromChild](FromChild).decode
