"""One connection for the length of one call, with the keys and the time: what the verbs run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from millrace.stores.redis.keyspace import Keyspace
from millrace.stores.redis.scripts import Script

__all__ = ["Argument", "Call", "Session", "Wire"]

Argument = bytes | str | int | float
#: A script and its arguments, without the time.
Call = tuple[Script, Sequence[Argument]]


class Wire(Protocol):
    """What a session needs of a connection."""

    def command(self, *words: Argument) -> Any:
        """Run one command and return its answer; an error of the server is raised."""
        ...

    def scripts(self, calls: Sequence[tuple[Script, Sequence[bytes], Sequence[Argument]]]) -> list[Any]:
        """Run scripts with their keys and arguments, in one trip, each atomic by itself; return their answers.

        A script that the server does not know is sent whole, and only that one again.
        """
        ...


class Session:
    """Runs scripts and commands of the verbs.

    Attributes:
        now: The time that the caller has given, in microseconds; None is the server's clock.
        again: The same body may have run before, and nobody knows whether: what it finds done may be its own.
        keys: The names of the deployment's keys.
    """

    __slots__ = ("_wire", "again", "keys", "now")

    def __init__(self, wire: Wire, keys: Keyspace, now: int | None, *, again: bool = False) -> None:
        self._wire = wire
        self.keys = keys
        self.now = now
        self.again = again

    def run(self, script: Script, *args: Argument) -> Any:
        """Run one script; the time goes in front of its arguments."""
        return self.trip([(script, args)])[0]

    def trip(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts in one trip to the server, each atomic by itself, one after the other."""
        now: Argument = "" if self.now is None else self.now
        return self._wire.scripts([(script, self.keys.keys_of(script), (now, *args)) for script, args in calls])

    def command(self, *words: Argument) -> Any:
        """Run one plain command, for reading."""
        return self._wire.command(*words)
