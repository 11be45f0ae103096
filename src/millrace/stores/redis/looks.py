"""Going over much in short looks: each is a call to the server by itself, under a deadline of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from millrace.stores.redis.scripts import Script
from millrace.stores.redis.session import Argument, Session

__all__ = ["Look", "look_once"]

T = TypeVar("T")


class Look(Protocol):
    """A way to run a body once on a connection: the store's, for reading or for writing."""

    def __call__(self, body: Callable[[Session], T], /) -> T:
        """Run the body, and return what it returns."""
        ...


def look_once(look: Look, script: Script, *args: Argument) -> Any:
    """Run one script, and return its answer."""
    return look(lambda session: session.run(script, *args))
