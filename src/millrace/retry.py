"""When a failed attempt is tried again. Owns the retry policies; pure arithmetic, no I/O, no clock.

A policy is a `Backoff`, None (never again: dead at once), or a mapping of exception types to either. The delay of
`Backoff` is exponential with proportional jitter, so that jobs that failed together do not come back together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from millrace.checks import duration, items, number
from millrace.errors import ConfigurationError

_STEEPEST = 1000.0

__all__ = ["DEFAULT_BACKOFF", "Backoff", "RetryPolicy", "backoff_for", "check_policy"]


@dataclass(frozen=True, slots=True, init=False)
class Backoff:
    """A delay that grows with each try: `first * factor ** (attempt - 1)`, at most `limit`, give or take `jitter`.

    Args:
        first: Delay after the first failed try, in seconds or as a `timedelta`.
        factor: By what each further delay grows; 1 keeps it.
        limit: The longest delay, before jitter.
        jitter: From 0 to 1: the delay is multiplied by a random number from `1 - jitter` to `1 + jitter`.
        listed: Delays, one a try, that replace the growing ones; see `steps`.

    Raises:
        ConfigurationError: A value is no number or duration, or out of range.

    >>> Backoff(first=5, factor=2, limit=timedelta(minutes=1), jitter=0).delay(3)
    20.0
    """

    first: float  #: seconds, whatever it was given as; so are the others
    factor: float
    limit: float
    jitter: float
    listed: tuple[float, ...]

    # Written out, not made: what is given may be a timedelta, what is kept are seconds, and a type checker knows both.
    def __init__(
        self,
        first: float | timedelta = 5.0,
        factor: float = 2.0,
        limit: float | timedelta = 3600.0,
        jitter: float = 0.2,
        listed: Iterable[float | timedelta] = (),
    ) -> None:
        keep = object.__setattr__  # it is frozen
        keep(self, "first", duration("Backoff(first=)", first))
        keep(self, "factor", number("Backoff(factor=)", factor, least=1.0, most=_STEEPEST))
        keep(self, "limit", duration("Backoff(limit=)", limit))
        keep(self, "jitter", number("Backoff(jitter=)", jitter, least=0.0, most=1.0))
        waits = items("Backoff(listed=)", listed, "delays")
        keep(self, "listed", tuple(duration("a delay in Backoff(listed=)", each) for each in waits))

    @classmethod
    def fixed(cls, seconds: float | timedelta, *, jitter: float = 0.0) -> Backoff:
        """Wait the same time after every failure.

        >>> Backoff.fixed(60).delay(7)
        60.0
        """
        wait = duration("Backoff.fixed", seconds)
        return cls(first=wait, factor=1.0, limit=wait, jitter=jitter)

    @classmethod
    def steps(cls, *seconds: float | timedelta, jitter: float = 0.0) -> Backoff:
        """Wait the listed times, one after another; the last one again and again.

        >>> [Backoff.steps(5, 60, 600).delay(attempt) for attempt in (1, 2, 3, 4)]
        [5.0, 60.0, 600.0, 600.0]
        """
        if not seconds:
            raise ConfigurationError("Backoff.steps() names no delay; give at least one, such as Backoff.steps(5, 60)")
        return cls(jitter=jitter, listed=[duration("Backoff.steps", each) for each in seconds])

    def delay(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after the `attempt`-th try (from 1) has failed.

        Args:
            attempt: How many tries have been made.
            chance: Gives a number from 0 to 1; replaced in tests.

        >>> Backoff(first=10, jitter=0.2).delay(1, chance=lambda: 1.0)
        12.0
        """
        if self.listed:
            wait = self.listed[min(max(attempt, 1), len(self.listed)) - 1]
        else:
            # past 2**64 the power only costs time: the limit holds long before
            wait = min(self.limit, self.first * self.factor ** min(max(attempt, 1) - 1, 64))
        return wait * (1.0 + self.jitter * (2.0 * chance() - 1.0)) if self.jitter else wait


DEFAULT_BACKOFF = Backoff()

RetryPolicy = Backoff | None | Mapping[type[BaseException], Backoff | None]


def check_policy(policy: object) -> RetryPolicy:
    """Check what a caller gave as `retry`.

    Raises:
        ConfigurationError: It is neither a Backoff, nor None, nor a mapping of exception types to these.

    >>> check_policy({ValueError: None})
    {<class 'ValueError'>: None}
    """
    if policy is None or isinstance(policy, Backoff):
        return policy
    if not isinstance(policy, Mapping):
        raise ConfigurationError(f"retry={policy!r} is no policy; give a Backoff, None, or a dict of exception types")
    checked: dict[type[BaseException], Backoff | None] = {}
    for kind, each in cast("Mapping[object, object]", policy).items():
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigurationError(f"retry has the key {kind!r}; keys are exception types")
        if not (each is None or isinstance(each, Backoff)):
            raise ConfigurationError(f"retry[{kind.__name__}] is {each!r}; give a Backoff, or None for dead at once")
        checked[kind] = each
    return checked


def backoff_for(policy: RetryPolicy, error: BaseException | None) -> Backoff | None:
    """Pick the backoff for an error: the nearest listed type along its ancestry, else the default. None: dead at once.

    >>> backoff_for({LookupError: None}, KeyError("x")) is None
    True
    """
    if policy is None or isinstance(policy, Backoff):
        return policy
    for kind in type(error).__mro__:
        if kind in policy:
            return policy[kind]
    return DEFAULT_BACKOFF
