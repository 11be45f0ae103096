"""Scripts: verbs written as generators that yield statements and are sent their rows. Owns their running.

A caller's connection may be asynchronous, and its driver not ours; the verbs that run there as well are scripts.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Protocol, TypeVar

from millrace.stores.postgres.session import Statement

__all__ = ["Answering", "Script", "run"]

T = TypeVar("T")

#: Yields a template with its arguments, is sent the rows, and returns what the verb returns.
Script = Generator[Statement, list[Any], T]


class Answering(Protocol):
    """Whatever runs a statement at once: a session, or a caller's connection, whose statements are filled in."""

    def rows(self, text: str, args: Mapping[str, Any], /) -> list[Any]:
        """Run a statement and return its rows, as tuples."""
        ...


def run(on: Answering, script: Script[T]) -> T:
    """Run a script, and return what it returns."""
    try:
        statement = next(script)
        while True:
            statement = script.send(on.rows(*statement))
    except StopIteration as stop:
        answer: T = stop.value
        return answer
