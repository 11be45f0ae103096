"""Scripts: verbs written as generators that yield statements and are sent their rows. Owns their running on a session.

A caller's connection may be asynchronous, and its driver not ours; the verbs that run there as well are scripts.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from millrace.stores.postgres.session import Session, Statement

__all__ = ["Script", "run"]

T = TypeVar("T")

#: Yields a template with its arguments, is sent the rows, and returns what the verb returns.
Script = Generator[Statement, list[Any], T]


def run(session: Session, script: Script[T]) -> T:
    """Run a script on a session, and return what it returns."""
    try:
        statement = next(script)
        while True:
            statement = script.send(session.rows(*statement))
    except StopIteration as stop:
        answer: T = stop.value
        return answer
