"""The options of a PostgreSQL store, checked. Owns their names, defaults and the sentences that refuse; does no I/O."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from millrace.errors import ConfigurationError
from millrace.stores.postgres.pool import Pool

__all__ = ["Settings"]

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_LONGEST = 86_400.0  # the server counts in milliseconds of 31 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a store was told, checked.

    Attributes:
        conninfo: For libpq: hosts, database, user and the rest. Never shown: it may hold a password.
        url: As people see it, passwords masked.
        schema: Where our tables are.
        listen: Whether a watch listens for notices; where not, polling alone finds what is due.
        notify: Whether what is written is told to other processes.
        prepare: Whether statements are prepared by name, which a pooler in transaction mode does not stand.
        migrate: Whether an older schema is brought up when it is opened; where not, by `millrace migrate` alone.
        claim_commit: Whether the commits of claims, leases and progress wait for the disk.
        deadline: Seconds for a write, and for a worker's step.
        read_deadline: Seconds for a read.
        connect_deadline: Seconds to connect, for each host that is tried; or to get a connection of the pool.
        pool: The caller's own, whose connections are used; None: we make ours.
        made_in: The number of the process that gave the pool.

    Raises:
        ConfigurationError: A value is not acceptable.

    >>> Settings(conninfo="", url="postgresql://").schema
    'millrace'
    """

    conninfo: str = field(repr=False)
    url: str
    schema: str = "millrace"
    listen: bool = True
    notify: bool = True
    prepare: bool = True
    migrate: bool = False
    claim_commit: bool = True
    deadline: float = 10.0
    read_deadline: float = 5.0
    connect_deadline: float = 5.0
    pool: Pool | None = field(default=None, repr=False)
    made_in: int = 0

    def __post_init__(self) -> None:
        if not _SCHEMA.fullmatch(self.schema) or self.schema.lower().startswith("pg_"):
            raise ConfigurationError(
                f"schema {self.schema!r} cannot be ours; give letters, digits and _, at most 40, the first no digit, "
                "and not pg_"
            )
        for name in ("deadline", "read_deadline", "connect_deadline"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and 0 < seconds <= _LONGEST):
                raise ConfigurationError(f"{name} {seconds!r} is not acceptable; give seconds, up to {_LONGEST:.0f}")

    @property
    def channel(self) -> str:
        """The name of our notices to workers."""
        return f"millrace_{self.schema}"

    @property
    def ends_channel(self) -> str:
        """The name of those for processes that wait for jobs to end."""
        return f"millrace_{self.schema}_ends"
