"""The options of an SQLite store, checked. Owns their names, defaults and the sentences that refuse; does no I/O."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Literal, get_args

from millrace.errors import ConfigurationError
from millrace.stores.sqlite.connection import Driver

__all__ = ["Network", "Settings", "Synchronous"]

Synchronous = Literal["full", "normal"]
Network = Literal["refuse", "allow"]

_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_LONGEST = 86_400.0  # SQLite counts its waiting in milliseconds of 31 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a database was told, checked; `path` is made absolute.

    Raises:
        ConfigurationError: A value is not acceptable.

    >>> Settings(path="/tmp/jobs.db").synchronous
    'full'
    """

    path: str
    synchronous: Synchronous = "full"
    prefix: str = "millrace_"
    deadline: float = 30.0
    reserve: bool = True
    network: Network = "refuse"
    driver: Driver = "sqlite3"

    def __post_init__(self) -> None:
        if not self.path or self.path == ":memory:" or "\0" in self.path:
            raise ConfigurationError(f"{self.path!r} is not a path of a file; for jobs in memory use memory://")
        _choose("synchronous", self.synchronous, get_args(Synchronous))
        _choose("network", self.network, get_args(Network))
        _choose("driver", self.driver, get_args(Driver))
        if not _PREFIX.fullmatch(self.prefix) or self.prefix.lower().startswith("sqlite_"):
            raise ConfigurationError(
                f"prefix {self.prefix!r} cannot begin the name of a table; give letters, digits and _, at most 40, "
                "the first no digit, and not sqlite_"
            )
        if not (math.isfinite(self.deadline) and 0 < self.deadline <= _LONGEST):
            raise ConfigurationError(
                f"deadline {self.deadline!r} is not acceptable; give seconds, up to {_LONGEST:.0f}"
            )
        object.__setattr__(self, "path", os.path.abspath(self.path))  # noqa: PTH100 - a link stays a link


def _choose(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{what} {value!r} is not known; give {' or '.join(choices)}")
