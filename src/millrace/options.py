"""What a job or its task says about how it is run: timeout, lease, retention, retry. Pure records, no I/O.

`JobOptions` is what one job was given at enqueue and is stored with it; `Terms` is what holds in the end, the job's
own options over those of the task as the running worker knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from millrace.clock import micros
from millrace.retry import DEFAULT_BACKOFF, RetryPolicy

__all__ = [
    "DEFAULT_DEAD_RETENTION",
    "DEFAULT_LEASE",
    "DEFAULT_RETENTION",
    "Hold",
    "JobOptions",
    "Terms",
    "at_least",
    "read_options",
]

DEFAULT_LEASE = 30.0
DEFAULT_RETENTION = 86_400.0
DEFAULT_DEAD_RETENTION = 2_592_000.0


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """For what a job waits, as it is stored in its options.

    >>> Hold((bytes(16).hex(),)).ids == (bytes(16),)
    True
    """

    parents: tuple[str, ...]  #: ids as hexadecimal digits
    on_parent: Literal["wait", "cancel", "run"] = "wait"  #: when a parent ends dead or cancelled
    due: int | None = None  #: not before, in microseconds; None: at once when it is released
    delay: int = 0  #: or not before so many microseconds after its enqueue
    kept: int | None = None  #: how long it is kept where a parent cancels it, in microseconds; None: for ever
    into: str | None = None  #: the parameter that gets the result of the first of them

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of the parents."""
        return tuple(map(bytes.fromhex, self.parents))


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Options fixed at enqueue, in seconds; what is unset comes from the task. Stored as JSON, or not at all.

    `trace` is no choice of anyone: it is there where an app is instrumented.

    >>> JobOptions(timeout=5.0).encode()
    b'{"timeout":5.0}'
    >>> JobOptions().encode() is None
    True
    """

    timeout: float | UnsetType | None = UNSET
    lease: float | UnsetType = UNSET
    retention: float | UnsetType | None = UNSET
    until: Literal["started"] | float | UnsetType = UNSET  #: how long its unique key is held, see `holding`
    after: Hold | UnsetType = UNSET  #: the jobs that it waits for, or has waited for
    trace: Mapping[str, str] | UnsetType = UNSET  #: of what enqueued it, as W3C writes it: `traceparent` and the like

    def encode(self) -> bytes | None:
        """Return the JSON, or None where every option is unset."""
        data = _encoder.encode(self)
        return None if data == b"{}" else data


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JobOptions)


def read_options(data: bytes) -> JobOptions:
    """Read stored options; fields of a newer version are passed over.

    >>> read_options(b'{"lease":2,"later":1}').lease
    2.0
    """
    return _decoder.decode(data)


def at_least(seconds: float, retention: float | None) -> float | None:
    """Return a retention of at least so long; None is for ever.

    >>> at_least(60.0, 5.0), at_least(60.0, None)
    (60.0, None)
    """
    return retention if retention is None or retention >= seconds else seconds


class Terms(msgspec.Struct, frozen=True):
    """What holds for one job: durations in seconds, None = no timeout, or kept for ever.

    >>> Terms().over(JobOptions(retention=None)).retention_micros is None
    True
    """

    timeout: float | None = None
    lease: float = DEFAULT_LEASE
    retention: float | None = DEFAULT_RETENTION
    dead_retention: float | None = DEFAULT_DEAD_RETENTION
    retry: RetryPolicy = DEFAULT_BACKOFF

    def over(self, options: JobOptions) -> Terms:
        """Return these terms with the job's own options laid over them.

        A job that holds its unique key for some seconds is kept for as long at least.
        """
        held = options.until if isinstance(options.until, float) else 0.0
        return Terms(
            timeout=self.timeout if options.timeout is UNSET else options.timeout,
            lease=self.lease if options.lease is UNSET else options.lease,
            retention=at_least(held, self.retention if options.retention is UNSET else options.retention),
            dead_retention=at_least(held, self.dead_retention),
            retry=self.retry,
        )

    @property
    def retention_micros(self) -> int | None:
        """How long a completed or cancelled job is kept, in microseconds."""
        return None if self.retention is None else micros(self.retention)

    @property
    def dead_retention_micros(self) -> int | None:
        """How long a dead job is kept, in microseconds."""
        return None if self.dead_retention is None else micros(self.dead_retention)
