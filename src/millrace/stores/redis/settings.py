"""The options of a Redis store, checked. Owns their names, defaults and the sentences that refuse; does no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote

from millrace.errors import ConfigurationError

__all__ = ["FSYNC", "PORT", "Account", "Settings", "Wait"]

PORT: Final = 6379
FSYNC: Final = "fsync"
#: So many replicas that have it, or our server's disk; 0 waits for neither.
Wait = int | Literal["fsync"]
Account = tuple[str | None, str | None]  #: user and password

_PREFIX = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")
_LONGEST = 86_400.0  # seconds
_MOST_REPLICAS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a store was told, checked.

    Attributes:
        url: As people see it, passwords masked.
        host: The server's, where it is reached by TCP.
        port: Likewise.
        path: Of its socket, where it is reached by that.
        db: The number of the database.
        user: Who we are; None is the server's default user.
        password: None where there is none.
        account: Asked for user and password at each connection, where they change.
        tls: Whether TCP is encrypted.
        ssl_ca_certs: File of the certificates that are trusted; None is the system's.
        ssl_certfile: File of our own certificate.
        ssl_keyfile: File of its key.
        ssl_verify: Whether the server's certificate is looked at.
        prefix: What all our keys begin with, in braces.
        shard: Whether each queue is a deployment of its own, and this one what they share.
        queue: The queue that this deployment holds, where each has its own.
        wait: What is waited for after an insert.
        listen: Whether a watch listens for hints; where not, polling alone finds what is due.
        allow_eviction: Whether a server is taken that drops keys when its memory is full.
        allow_server: Whether a server is taken that is neither Redis nor Valkey.
        deadline: Seconds for a write, and for a worker's step.
        read_deadline: Seconds for a read.
        connect_deadline: Seconds to connect, for each address that is tried.

    Raises:
        ConfigurationError: A value is not acceptable.

    >>> Settings(url="redis://localhost").prefix
    'millrace'
    """

    url: str
    host: str = "localhost"
    port: int = PORT
    path: str | None = None
    db: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    account: Callable[[], Account] | None = field(default=None, repr=False)
    tls: bool = False
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_verify: bool = True
    prefix: str = "millrace"
    shard: bool = False
    queue: str | None = None
    wait: Wait = 0
    listen: bool = True
    allow_eviction: bool = False
    allow_server: bool = False
    deadline: float = 10.0
    read_deadline: float = 5.0
    connect_deadline: float = 5.0

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigurationError(
                f"prefix {self.prefix!r} cannot be ours; give letters, digits and any of _ . : / -, at most 60"
            )
        if self.wait != FSYNC and not 0 <= self.wait <= _MOST_REPLICAS:
            raise ConfigurationError(
                f"wait {self.wait!r} is not acceptable; give a number of replicas up to {_MOST_REPLICAS}, or fsync"
            )
        if not 0 < self.port < 1 << 16:
            raise ConfigurationError(f"port {self.port} is none; give one up to {(1 << 16) - 1}")
        if not self.tls and (self.ssl_ca_certs or self.ssl_certfile or self.ssl_keyfile or not self.ssl_verify):
            raise ConfigurationError(
                "options of TLS go with rediss:// or valkeys://; write one of these, or leave them"
            )
        for name in ("deadline", "read_deadline", "connect_deadline"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and 0 < seconds <= _LONGEST):
                raise ConfigurationError(f"{name} {seconds!r} is not acceptable; give seconds, up to {_LONGEST:.0f}")

    @property
    def tag(self) -> str:
        """What all keys of this deployment begin with, in braces. The name of a queue is quoted: a brace would end it.

        >>> Settings(url="redis://localhost", queue="a}b").tag
        'millrace/a%7Db'
        """
        return self.prefix if self.queue is None else f"{self.prefix}/{quote(self.queue, safe='')}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.password,) if self.password else ()
