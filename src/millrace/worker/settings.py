"""The options of a worker, checked. Owns what is acceptable; every wrong one is told where the worker is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import cast

import msgspec

from millrace import checks
from millrace.errors import ConfigurationError
from millrace.worker.pace import MOST_AHEAD

__all__ = ["Settings", "read_names", "read_settings"]

_MOST_SLOTS = 10_000


class Settings(msgspec.Struct, frozen=True):
    """What a worker was asked to be. See `Worker`."""

    queues: tuple[str, ...] | None
    tasks: frozenset[str] | None
    concurrency: int
    reserved: Mapping[str, int]
    burst: bool
    grace: float
    most_ahead: int


def read_settings(
    *,
    queues: Iterable[str] | None,
    tasks: Iterable[str | checks.Named] | None,
    concurrency: int,
    reserved: Mapping[str, int] | None,
    burst: bool,
    grace: float | timedelta,
    prefetch: int | None,
) -> Settings:
    """Check the options of a worker.

    Raises:
        ConfigurationError: One is not acceptable; the message names it.

    >>> read_settings(
    ...     queues=["a"], tasks=None, concurrency=3, reserved={"a": 1}, burst=False, grace=1, prefetch=0
    ... ).most_ahead
    0
    """
    slots = checks.count("concurrency", concurrency, most=_MOST_SLOTS)
    names = None if queues is None else read_names("queue", "queues", queues)
    return Settings(
        names,
        None if tasks is None else frozenset(read_names("task", "tasks", tasks)),
        slots,
        _reserved({} if reserved is None else reserved, slots, names),
        checks.flag("burst", burst),
        checks.duration("grace", grace),
        MOST_AHEAD if prefetch is None else min(checks.count("prefetch", prefetch, least=0), MOST_AHEAD),
    )


def read_names(what: str, option: str, values: Iterable[str | checks.Named]) -> tuple[str, ...]:
    """Check a list of names of queues or tasks; a task may be given itself.

    Raises:
        ConfigurationError: It is empty, a text, or holds what is no name.

    >>> read_names("queue", "queues", ["a", "b", "a"])
    ('a', 'b')
    """
    given = checks.items(option, values)
    names = tuple(dict.fromkeys(checks.name(what, getattr(each, "name", each)) for each in given))
    if not names:
        raise ConfigurationError(f"{option}=[] would claim nothing; name some, or leave it out for all")
    return names


def _reserved(given: Mapping[str, int], slots: int, queues: tuple[str, ...] | None) -> dict[str, int]:
    values = cast("object", given)
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"reserved={values!r} is no mapping; give slots by queue, such as {{'high': 2}}")
    reserved = {checks.name("queue", name): checks.count(f"reserved[{name!r}]", count) for name, count in given.items()}
    taken = sum(reserved.values())
    if taken > slots:
        raise ConfigurationError(f"reserved takes {taken} slots of concurrency={slots}; reserve fewer, or raise it")
    for name in reserved:
        if queues is not None and name not in queues:
            raise ConfigurationError(f"reserved names queue {name!r}, which queues={list(queues)!r} leaves out; add it")
    if taken == slots and (queues is None or set(queues) - set(reserved)):
        raise ConfigurationError(
            f"reserved takes all {slots} slots, so no other queue would be served; raise concurrency, or name only the "
            "reserved queues in queues="
        )
    return reserved
